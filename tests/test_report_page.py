"""The page that `make_report` returns, as text; a browser opens it in `test_cli_commands`."""

import pytest

from kmq import Image, make_report


@pytest.mark.parametrize("name", ["@DATA@", "@STYLE@ & @SCRIPT@", "<b>"])
def test_a_name_is_never_taken_for_a_place_to_fill(name, rng):
    page = make_report(Image(rng.integers(0, 256, (4, 5, 3), "uint8")), [2], name=name)
    title = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert f"<title>{title} in few colours</title>" in page
    for part in ("STYLE", "SCRIPT", "DATA"):
        assert page.count(f"@{part}@") == 2 * name.count(f"@{part}@")


def test_a_report_needs_a_number_of_colours(rng):
    with pytest.raises(ValueError, match="at least one number"):
        make_report(Image(rng.integers(0, 256, (4, 5, 3), "uint8")), [])
