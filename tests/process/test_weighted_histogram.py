"""Values counted many at a time."""

from vpp_streams.process.weighted_histogram import WeightedHistogram


def test_a_value_counts_in_its_bucket_and_all_above() -> None:
    histogram = WeightedHistogram((0.5, 1.0))
    histogram.add(0.5, 3)
    histogram.add(0.75, 2)
    histogram.add(9.0, 1)
    assert list(histogram.cumulative()) == [("0.5", 3), ("1.0", 5), ("+Inf", 6)]
    assert histogram.sum == 0.5 * 3 + 0.75 * 2 + 9.0
