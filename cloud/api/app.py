"""The API as one FastAPI application; `docs/api.md` introduces it, /api/v1/openapi.json describes it."""

from fastapi import Depends, FastAPI
from pydantic import BaseModel

from cloud.api import chart, history, metrics, orders, places, quality, situation
from cloud.api.bounds import BoundedBodies, only_known_parameters
from cloud.api.errors import add_error_answers, errors
from cloud.api.services import Services, ServicesHere
from cloud.migrations import revision_of

PREFIX = "/api/v1"


class Health(BaseModel):
    """That the process answers and its database does too."""

    status: str = "ok"


def create_app(services: Services) -> FastAPI:
    """Return the application; it closes nothing that it is given."""
    app = FastAPI(
        title="Anlan 安澜",
        version="1",
        description="Sites, gateways, readings, alerts and work orders. Times are milliseconds UTC.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
    )
    app.state.services = services
    app.add_middleware(BoundedBodies)
    add_error_answers(app)
    for module in (places, history, chart, quality, situation, orders):
        app.include_router(module.router, prefix=PREFIX, dependencies=[Depends(only_known_parameters)])
    app.include_router(metrics.router)
    app.add_api_route("/healthz", healthz, summary="Is it alive", tags=["health"], responses=errors(503))
    return app


async def healthz(services: ServicesHere) -> Health:
    """Answer when process and database do; 503 otherwise. The series store may be down: events still pass."""
    await services.database.read(revision_of)
    return Health()
