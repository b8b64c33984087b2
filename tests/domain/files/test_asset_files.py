"""Asset files: the same sites from either form, and every problem with its line."""

import hashlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from schemas.assets import Device, Site, StateChange
from tests.support.paths import DOCS
from vpp_streams.cli import build_app
from vpp_streams.domain.files.asset_files import Format, Problem, read_assets
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.errors import InputError
from vpp_streams.settings import Settings

EXAMPLES = DOCS / "examples"
POWERWALL = "rated_energy_wh: 13500, rated_charge_w: 5000, rated_discharge_w: 5000"


def sites_of(text: str, format_: Format = "yaml", known: Registry | None = None) -> list[Site]:
    found = read_assets(text, format_, known or Registry())
    assert all(isinstance(site, Site) for site in found), found
    return [site for site in found if isinstance(site, Site)]


def problems_of(text: str, format_: Format = "yaml", known: Registry | None = None) -> list[str]:
    found = read_assets(text, format_, known or Registry())
    assert all(isinstance(problem, Problem) for problem in found), found
    return [str(problem) for problem in found]


def test_the_example_is_good() -> None:
    ada, blum, field = sites_of((EXAMPLES / "assets.yaml").read_text())
    assert ada == Site(
        site_id="home-ada",
        region="north",
        export_limit_w=5000.0,
        backup_reserve=0.3,
        latitude=54.32,
        longitude=10.14,
        devices=(
            Device(
                device_id="pw-ada",
                kind="powerwall",
                model="powerwall3",
                rated_energy_wh=13500.0,
                rated_charge_w=5000.0,
                rated_discharge_w=11500.0,
                rated_solar_w=7000.0,
                token_sha256=hashlib.sha256(b"change-me-ada").hexdigest(),
            ),
        ),
    )
    assert blum.backup_reserve == 0.2
    assert field.devices[0].token_sha256 == ""


def test_csv_says_the_same_as_yaml() -> None:
    ada, blum = sites_of((EXAMPLES / "assets.csv").read_text(), "csv")
    in_yaml = sites_of((EXAMPLES / "assets.yaml").read_text())
    assert [d.device_id for d in ada.devices] == ["pw-ada", "pv-ada"]
    assert msgspec.structs.replace(in_yaml[1], latitude=None, longitude=None) == blum


def test_all_problems_are_told_with_line_and_field() -> None:
    text = f"""\
sites:
  - site_id: "home 1"
    region: north
    backup_reserve: 20
    exprot_limit_w: 5000
    latitude: 91
    devices:
      - device_id: pw-1
        kind: powerbank
      - device_id: pw-2
        kind: powerwall
        rated_energy_wh: -1
        rated_charge_w: .nan
        token: a
        token_sha256: b
  - region: south
    devices:
      - {{device_id: pw-2, kind: powerwall, {POWERWALL}}}
"""
    assert problems_of(text) == [
        "2: site_id: 'home 1' is not an id (letters, digits and . _ : -, at most 64, starting"
        " with a letter or digit)",
        "4: backup_reserve: '20' is not a fraction from 0 to 1 (20 % is 0.2)",
        "5: exprot_limit_w: a site has no such field; is it export_limit_w?",
        "6: latitude: '91' is not degrees from -90 to 90",
        "9: kind: 'powerbank' is not one of powerwall, solar, megapack",
        "10: rated_discharge_w: a powerwall needs it, more than 0",
        "12: rated_energy_wh: '-1' is not an energy in watt hours, 0 or more",
        "13: rated_charge_w: '.nan' is not a power in watts, 0 or more",
        "15: token_sha256: this is not 64 hex digits (see `vpp assets token`)",
        "16: site_id: a site needs it: an id (letters, digits and . _ : -, at most 64, starting"
        " with a letter or digit)",
        "18: device_id: pw-2 is already on line 10",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "starts with `sites:`"),
        ("sites: []", "there are no sites"),
        ("sites: 5", "must be a list"),
        ("sites:\n  - 5", "2: sites: each entry"),
        ("sites:\n  - devices: {a: 1}", "2: devices: this must be a list"),
        ("sites:\n  - site_id: [1]", "2: site_id: this must be one value"),
        ("sites:\n  - site_id: a\n    site_id: b", "3: site_id: this is given twice"),
        ("sites:\n  - a: {", "this is not YAML"),
        ("sites: \x01", "this is not YAML"),
        ("sites: &a [*a]", "each entry must be"),
        ("sites: " + "[" * 5000, "this is not YAML"),
    ],
)
def test_a_file_of_another_shape(text: str, words: str) -> None:
    assert words in "\n".join(problems_of(text))


@pytest.mark.parametrize(("sign", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_a_table_with_another_separator_has_one_problem(sign: str, name: str) -> None:
    columns = ("site_id", "region", "device_id", "kind")
    said = f"1: the columns are separated by {name}; write them with commas"
    assert [str(problem) for problem in problems_of(f"{sign.join(columns)}\n", "csv")] == [said]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there is no column 'site_id'"),
        ("site_id|region|device_id|kind\n", "column 'site_id|region|device_id|kind'"),
        ("site_id,region,device_id,kind,kind\n", "is there twice"),
        ("site_id,region,device_id,kind\na,b,c,solar,9,9\n", "2: 6 values in a row of 4"),
        ("site_id,region,device_id,kind\n\n,b,c,solar\n", "3: site_id: a row needs it"),
        ('site_id,region,device_id,kind\n"a,b\n', "this is not CSV"),
        ("site_id,region,device_id,kind\n", "there are no sites"),
        (
            "site_id,region,device_id,kind,rated_solar_w\na,n,c,solar,1\na,s,d,solar,1\n",
            "3: region: 's' here, but 'n' on line 2",
        ),
    ],
)
def test_a_table_of_another_shape(text: str, words: str) -> None:
    assert words in "\n".join(problems_of(text, "csv"))


def test_a_device_keeps_its_token_and_its_site() -> None:
    solar = Device(device_id="pv", kind="solar", rated_solar_w=1.0, token_sha256="ab" * 32)
    known = Registry([Site(site_id="old", region="n", devices=(solar,))])
    one = "{device_id: pv, kind: solar, rated_solar_w: 2}"
    (site,) = sites_of(f"sites: [{{site_id: old, region: n, devices: [{one}]}}]", known=known)
    assert site.devices[0].token_sha256 == "ab" * 32
    moved = f"sites: [{{site_id: new, region: n, devices: [{one}]}}"
    assert problems_of(moved + "]", known=known) == [
        "1: device_id: pv belongs to site old; name that site here too"
    ]
    assert len(sites_of(moved + ", {site_id: old, region: n}]", known=known)) == 2


@given(st.text(max_size=200), st.sampled_from(["yaml", "csv"]))
def test_any_text_is_sites_or_problems(text: str, format_: Format) -> None:
    assert read_assets(text, format_, Registry())


@given(
    st.lists(
        st.lists(
            st.sampled_from(["a", "b", "", "solar", "1", "-1", "nan", "1e400", '"', "true", "é"]),
            max_size=7,
        ),
        max_size=5,
    )
)
def test_any_table_is_sites_or_problems(rows: list[list[str]]) -> None:
    text = "site_id,region,device_id,kind,rated_solar_w,removed\n"
    text += "\n".join(",".join(row) for row in rows)
    assert read_assets(text, "csv", Registry())


def in_file(cells: str, *known: Site) -> Site | Problem:
    """The one site, or the one problem, of a file with a site ``a`` with these cells, at 50 ms."""
    text = f"sites:\n- {{site_id: a, region: n, {cells}}}"
    (found,) = read_assets(text, "yaml", Registry(known), 50)
    return found


def test_a_site_keeps_its_state_unless_the_file_says_another() -> None:
    suspended = Site("a", "n", history=(StateChange("suspended", 10, "meter"),))
    same = in_file("backup_reserve: 0.5", suspended)
    assert same == Site("a", "n", backup_reserve=0.5, history=suspended.history)
    active = in_file("state: active", suspended)
    assert isinstance(active, Site)
    assert active.history == (*suspended.history, StateChange("active", 50, "imported"))


def test_a_new_site_is_active_or_as_the_file_says() -> None:
    assert in_file("backup_reserve: 0.5") == Site("a", "n", backup_reserve=0.5)
    planned = in_file("state: planned")
    assert planned == Site("a", "n", history=(StateChange("planned", 50, "imported"),))


def test_the_earlier_form_of_retired_is_read() -> None:
    retired = in_file("removed: true", Site("a", "n"))
    assert retired == Site("a", "n", history=(StateChange("retired", 50, "imported"),))
    assert in_file("removed: true", retired) == retired


@pytest.mark.parametrize(
    ("cells", "field", "says"),
    [
        ("state: planned", "state", "a site that is active cannot become planned"),
        ("state: on", "state", "'on' is not one of planned, commissioning, active"),
        ("state: retired, removed: true", "removed", "say `state: retired` instead"),
    ],
)
def test_a_state_that_cannot_be_is_a_problem_of_the_file(cells: str, field: str, says: str) -> None:
    problem = in_file(cells, Site("a", "n"))
    assert isinstance(problem, Problem)
    assert (problem.line, problem.field) == (2, field)
    assert says in problem.text


def run(*arguments: str, **env: str) -> tuple[int, str]:
    """Exit code and output of ``vpp assets ...``; a person's mistake is raised."""
    result = CliRunner().invoke(build_app(), ["assets", *arguments], env=env)
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exception is None, result.exception
    return result.exit_code, result.output


def test_a_dry_run_names_every_problem_as_file_and_line(tmp_path: Path) -> None:
    code, output = run("import", str(EXAMPLES / "assets.yaml"), "--dry-run")
    assert (code, "3 sites, 3 devices" in output) == (0, True)
    bad = tmp_path / "bad.yaml"
    bad.write_text("sites:\n  - site_id: a b\n")
    with pytest.raises(InputError) as told:
        run("import", str(bad), "--dry-run")
    first, *rest = str(told.value).split("\n  ")
    assert first == f"2 problems in {bad}, nothing was written"
    assert rest[0].startswith(f"{bad}:2: region: a site needs it")
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        run("import", str(bad), "--dry-run")


@pytest.mark.kafka
def test_import_list_show(settings: Settings, tmp_path: Path) -> None:
    env = {"VPP_KAFKA": settings.kafka, "VPP_NAMESPACE": settings.namespace}
    example = str(EXAMPLES / "assets.yaml")
    assert "3 sites new" in run("import", example, "--yes", **env)[1]
    assert "0 sites new, 0 changed, 3 unchanged" in run("import", example, **env)[1]
    listed = run("list", "--json", "--region", "north", **env)[1].splitlines()
    assert [msgspec.json.decode(line)["site_id"] for line in listed] == ["home-ada", "roof-blum"]
    assert "token" not in "".join(listed)
    assert "mp-7a" in run("list", **env)[1]
    assert "home-ada" in run("show", "pw-ada", **env)[1]
    with pytest.raises(InputError, match="no site or device"):
        run("show", "nobody", **env)
    removing = tmp_path / "gone.yaml"
    removing.write_text("sites: [{site_id: home-ada, region: north, removed: true}]")
    assert "1 retired" in run("import", str(removing), "--yes", **env)[1]
    assert "home-ada" not in run("list", **env)[1]
