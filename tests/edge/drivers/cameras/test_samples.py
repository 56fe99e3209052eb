"""What cameras send, good, odd and hostile, becomes the right sightings or the right refusal."""

from __future__ import annotations

import pytest

from edge.drivers.cameras import Refused
from tests.edge.drivers.cameras.samples import FOLDER, READERS, Sample, load_samples

SAMPLES = load_samples()


@pytest.mark.parametrize("sample", SAMPLES, ids=[str(sample.path.relative_to(FOLDER)) for sample in SAMPLES])
def test_a_sample_is_read_as_it_says(sample: Sample) -> None:
    """Each sample gives the sightings that it names, or is refused for the reason that it names."""
    if sample.refused is None:
        assert sample.read() == sample.expected
        return
    with pytest.raises(Refused) as refusal:
        sample.read()
    assert refusal.value.why == sample.refused
    assert sample.because in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_every_brand_has_good_and_bad_samples() -> None:
    """No brand is without samples of both kinds."""
    assert {(sample.brand, sample.refused is None) for sample in SAMPLES} == {
        (brand, is_good) for brand in READERS for is_good in (True, False)
    }
