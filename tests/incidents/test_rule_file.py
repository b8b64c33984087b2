"""Files of rules and channels: what is shipped is valid, and mistakes are one clear line."""

from pathlib import Path

import pytest

from schemas.incidents import INCIDENT_KINDS
from vpp_streams.domain.incidents.rules import KINDS
from vpp_streams.errors import SettingsError
from vpp_streams.incidents.rule_file import DEFAULT, read_rules

RULE = '[[rule]]\nid = "a"\nkind = "held"\nseverity = "info"\nabove = 1\n'


def test_every_kind_has_a_rule_that_is_shipped() -> None:
    assert set(KINDS) == set(INCIDENT_KINDS) == {rule.kind for rule in read_rules(None).rule}


def test_the_channels_of_the_example_are_valid(tmp_path: Path) -> None:
    lines = DEFAULT.read_text().splitlines()
    first = lines.index("# [[channel]]")
    example = "\n".join([*lines[:first], *[line.removeprefix("# ") for line in lines[first:]]])
    file = tmp_path / "rules.toml"
    file.write_text(example.replace("\n#\n", "\n\n"))
    assert [channel.id for channel in read_rules(file).channel] == ["operators", "webhook"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no [[rule]]"),
        ("[[rule", "array declaration"),
        (RULE.replace('"held"', '"helt"'), "helt"),
        (RULE + "forever = 1\n", "forever"),
        (RULE.replace("above = 1", "above = -1"), "above"),
        (RULE + RULE, "there twice"),
        (RULE + '[[channel]]\nid = "c"\nurl = "s3cret"\n', "channel 'c': its url is not one"),
        (
            RULE + '[[channel]]\nid = "c"\nurl = "json://x"\n'
            'quiet = { begins = "25:00", ends = "07:00", tz = "UTC" }\n',
            "begins",
        ),
    ],
)
def test_a_mistake_is_named_and_no_secret_is(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_rules(file)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert "s3cret" not in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        read_rules(tmp_path / "none.toml")
