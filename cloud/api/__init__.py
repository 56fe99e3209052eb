"""The REST API, `/api/v1`: JSON, bearer tokens, times in milliseconds UTC; every error is {"error": sentence}."""
