"""A roll-over on the page: its successor proposed, its devices counted by a job, and its end as of the command."""

import csv
import html
import json
import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from testkit import pki
from testkit.aws.world import World
from testkit.cli.cas import refusing
from testkit.cli.command_line import Aws, Run
from testkit.cli.fleet import Fleet
from testkit.cli.operating import FACTORY, OTHER, register_ca
from testkit.cli.rolling import both, came_before, moves, rolling_fleet, takes_devices
from testkit.page import Page

from jitr.rules.model import Rules
from jitr_page.jobs import Job, JobResult, Jobs, WayBack
from jitr_page.rollovers import Rollovers

ABSENT = "ab" * 32
CHOOSE = f"/cas/{FACTORY.id}/rollover"
HERE = f"{CHOOSE}/{OTHER.id}"
HOSTILE = "<script>alert(1)</script>\u202egnp.exe"


@pytest.fixture
def fleet(world: World, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    return rolling_fleet(world, aws, monkeypatch)


@pytest.fixture
def page(fleet: Fleet) -> Page:
    """The page of a stack whose rules let factory-b take over the devices of factory-a, opened."""
    return Page().enter()


def counted(page: Page) -> str:
    """Count the devices, and return the view as a person reads it."""
    page.finish(page.post(f"{HERE}/count"))
    return words(page.text(HERE))


def words(text: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", text)))


def shown(page: Page) -> dict[str, str]:
    """What the form that finishes it carries."""
    return dict(re.findall(r'name="(status|counted)" value="([^"]*)"', page.text(HERE)))


def finish(page: Page, **form: str) -> Any:
    given = {**shown(page), "message": "the last truck is back", "sure": "yes"} | form
    return page.post(f"{HERE}/finish", **given)


def exported(page: Page, kind: str) -> list[str]:
    """The certificates in a kind's list."""
    answer = page.get(f"{HERE}/{kind}.csv")
    assert (answer.status_code, answer.mimetype) == (200, "text/csv")
    assert answer.headers["Content-Disposition"] == f"attachment; filename={kind}.csv"
    return [each["certificate_sha256"] for each in csv.DictReader(answer.data.decode("utf-8-sig").splitlines())]


def test_a_device_s_page_names_its_ca_by_alias_subject_and_id_with_a_link(page: Page, fleet: Fleet) -> None:
    """So does one that no rule names, without an alias."""
    here = f"/devices/{fleet.let_in('a')['a'].sha256}"
    text, subject = page.text(here), "CN=Factory A,O=OKIDA,C=TR"
    assert f"CA factory-a {subject} {FACTORY.id[:12]} IoT policies" in words(text)
    assert f'/cas/{FACTORY.id}">factory-a</a>' in text
    assert f"Signed by {subject}, valid until" in words(text)
    fleet.world.publish(Rules(""))
    assert f'/cas/{FACTORY.id}">{subject}</a>' in page.text(here)


# --- the CA that follows


def test_a_ca_s_page_leads_to_the_roll_over_that_the_rules_are_for_from_either_side(page: Page) -> None:
    assert f'href="{page.door.root}{HERE}">to factory-b' in page.text(f"/cas/{FACTORY.id}")
    assert f'href="{page.door.root}{HERE}">from factory-a' in page.text(f"/cas/{OTHER.id}")


def test_the_likeliest_successor_is_proposed_first_and_one_that_cannot_follow_not_at_all(
    page: Page, fleet: Fleet
) -> None:
    third = pki.ca("Factory C")
    register_ca(fleet.world.iot, third)
    draft = pki.ca_draft("Older").valid(
        FACTORY.draft.not_before - timedelta(days=9), FACTORY.draft.not_after - timedelta(days=9)
    )
    older = pki.make(draft.basic_constraints(ca=True).key_usage("keyCertSign").identifiers())
    register_ca(fleet.world.iot, older)
    text = page.text(CHOOSE)
    assert re.findall(r"/rollover/([0-9a-f]{64})", text) == [OTHER.id, third.id]
    assert "takes over devices" in text
    assert "1 CA is left out" in text


def test_without_another_ca_it_says_how_to_get_one(page: Page, fleet: Fleet, aws: Aws) -> None:
    aws.overrides["ListCACertificates"] = lambda _: {"certificates": [{"certificateId": FACTORY.id}]}
    assert "No CA that is registered can follow" in page.text(CHOOSE)


# --- the counts


def test_a_small_fleet_is_counted_at_once_and_shown_as_the_command_shows_it(
    page: Page, fleet: Fleet, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jitr_page.counting._SHORT", 60)
    fleet.let_in("a", "b", "moved")
    came_before(fleet, 6, "moved")
    assert "How far has it come?" in page.text(HERE)
    answer = page.post(f"{HERE}/count")
    assert (answer.status_code, answer.location) == (303, page.door.root + HERE)
    told = words(page.text(HERE))
    printed = json.loads(run("ca", "rollover", "factory-a", "factory-b", "--json").stdout)
    assert f"{printed['devices']['old_only']} old CA only" in told
    assert "1 of 3 have come: 1 known by their key, 0 by their thing" in told
    assert f"At {printed['per_week']} a week the last one comes on {printed['done_on']}, before the old CA ends" in told
    assert " ago, " in told
    assert "Count again" in told


def test_each_number_is_a_link_to_the_certificates_that_it_counts(page: Page, fleet: Fleet) -> None:
    devices = fleet.let_in("a", "beside")
    fleet.world.publish(both("coexist"))
    moves(fleet, "beside", owner="a key beside")
    newborn = moves(fleet, "newborn")
    counted(page)
    linked = re.findall(r'<a href="[^"]*/([a-z-]+)\.csv">(\d+)</a>', page.text(HERE))
    assert linked == [("old-only", "1"), ("both", "1"), ("new-only", "1")]  # nobody is in with neither
    assert exported(page, "old-only") == [devices["a"].sha256]
    assert exported(page, "both") == [devices["beside"].sha256]
    assert exported(page, "new-only") == [newborn.sha256]
    assert exported(page, "neither") == []


def test_what_is_at_risk_stands_first(page: Page, fleet: Fleet, aws: Aws) -> None:
    """Nobody came of late, and nobody can come at all. Then what the pace promises is no good news."""
    fleet.let_in(*(f"d{number}" for number in range(3)))
    told = counted(page)
    assert "At risk. Nobody came in the last four weeks" in told
    assert told.index("At risk.") < told.index("From factory-a")
    takes_devices(aws, fleet.world, on=False)
    told = words(page.text(HERE))
    assert "its auto-registration is off" in told
    assert told.index("No device can come") < told.index("At risk.")
    takes_devices(aws, fleet.world, on=True)
    came_before(fleet, 6, "d1")
    counted(page)
    assert re.search(r'class="message good">At [0-9.]+ a week', page.text(HERE))
    takes_devices(aws, fleet.world, on=False)
    assert re.search(r'class="message ">At [0-9.]+ a week', page.text(HERE))


def test_devices_that_came_within_seconds_are_no_forecast_and_no_risk(page: Page, fleet: Fleet) -> None:
    fleet.let_in("a", "b")
    moves(fleet, "a")
    told = counted(page)
    assert "Devices have only begun to come" in told
    assert "At risk" not in told
    assert "a week" not in told


def test_a_finished_roll_over_has_no_forecast_until_the_old_ca_is_active_again(
    page: Page, fleet: Fleet, run: Run
) -> None:
    """Whether it was counted before it was finished or afterwards."""
    fleet.let_in("a", "b", "c")
    forecast = "the last one comes on"
    came_before(fleet, 6, "a")
    assert forecast in counted(page)
    finish(page)
    assert forecast not in words(page.text(HERE))
    assert forecast not in counted(page)
    assert "At risk" not in words(page.text(HERE))
    assert run("ca", "activate", FACTORY.id).exit_code == 0
    assert forecast in words(page.text(HERE))


def test_devices_that_wait_are_a_link_to_them(page: Page, fleet: Fleet) -> None:
    fleet.let_in("a")
    fleet.world.publish(both("hold"))
    moves(fleet, "a", owner="somebody")
    told = counted(page)
    assert "1 device of factory-b waits: see why" in told
    assert f'/held?ca={OTHER.id}">see why' in page.text(HERE)
    assert "No rule has renewal_from for this roll-over" not in told
    fleet.world.publish(Rules(""))
    assert "No rule has renewal_from for this roll-over" in words(page.text(HERE))


def test_names_that_devices_give_themselves_come_back_harmless(page: Page, fleet: Fleet) -> None:
    bare = both("replace").allow[0]
    grant = replace(
        bare.grant, thing=None, thing_type=None, attributes={}, thing_groups=(), not_in_policies=("common_name",)
    )
    fleet.world.publish(replace(both("replace"), allow=(replace(bare, grant=grant),)))
    fleet.let_in(HOSTILE, "=1+1")
    counted(page)
    text = page.text(HERE)
    assert "<script>alert" not in text
    assert "\u202e" not in text
    data = page.get(f"{HERE}/old-only.csv").data.decode("utf-8-sig")
    assert "\u202e" not in data
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in csv.reader(data.splitlines()) for cell in row)


def test_two_who_count_at_once_wait_for_one_count(page: Page, fleet: Fleet, aws: Aws, monkeypatch: Any) -> None:
    """A count takes its share of the pace that registration has."""
    monkeypatch.setattr("jitr_page.counting._SHORT", 0.01)
    go_on, real = Event(), aws.overrides["ListCertificatesByCA"]

    def slow(given: Any) -> Any:
        go_on.wait(60)
        return real(given)

    aws.overrides["ListCertificatesByCA"] = slow
    first, second = page.post(f"{HERE}/count"), page.post(f"{HERE}/count")
    assert first.location == second.location
    assert "It is being counted" in page.text(HERE)
    go_on.set()
    page.finish(first)
    assert "Count again" in page.text(HERE)


def test_two_who_ask_for_a_count_at_the_very_same_moment_get_one_job(page: Page, monkeypatch: Any) -> None:
    jobs: Jobs = page.app.extensions["jitr"].jobs
    go_on, found = Event(), list[Job]()

    def work() -> JobResult:
        go_on.wait(60)
        return JobResult("Counted")

    def ask() -> None:
        found.append(jobs.start_or_join("Count", WayBack("the roll-over", HERE), work))

    second = Thread(target=ask)

    def asked_meanwhile(_length: int) -> str:
        if not second.ident:
            second.start()
            second.join(0.2)  # it waits until the first job can be found, and would have begun its own by then
        return f"job-{len(jobs.under_way())}"

    monkeypatch.setattr("jitr_page.jobs.secrets", SimpleNamespace(token_urlsafe=asked_meanwhile))
    ask()
    second.join(60)
    go_on.set()
    assert found[0] is found[1]


def test_a_count_is_kept_until_it_is_counted_again_and_so_many_of_them(
    page: Page, fleet: Fleet, monkeypatch: Any
) -> None:
    """Else the lists of a page that is open all day fill the disk. Nobody else on the machine reads them."""
    monkeypatch.setattr("jitr_page.rollovers._MOST_KEPT", 1)
    third = pki.ca("Factory C")
    register_ca(fleet.world.iot, third)
    kept: Rollovers = page.app.extensions["jitr"].rollovers
    for path in (HERE, HERE, f"{CHOOSE}/{third.id}"):
        page.finish(page.post(f"{path}/count"))
        (folder,) = Path(kept._folder.name).iterdir()
        assert [each.stat().st_mode & 0o777 for each in (folder, *folder.iterdir())] == [0o700, *[0o600] * 4]
    answer = page.get(f"{HERE}/both.csv")
    assert (answer.status_code, "count them" in answer.text) == (400, True)


def test_looking_asks_no_more_of_aws_the_larger_the_fleet_is(page: Page, fleet: Fleet, aws: Aws) -> None:
    """The devices are counted by the job alone."""
    seen = []
    for names in (("a",), tuple(f"b{number}" for number in range(12))):
        fleet.let_in(*names)
        counted(page)
        aws.calls.clear()
        for path in (CHOOSE, HERE, f"{HERE}/old-only.csv"):
            page.get(path)
        seen.append(Counter(aws.operations))
    assert seen[0] == seen[1]
    assert set(seen[1]) == {"BatchGetItem", "DescribeCACertificate", "ListCACertificates", "Query"}
    assert seen[1]["Query"] == 3  # the rules in force, for each view


# --- the end


def test_it_is_finished_as_the_command_finishes_it_and_the_reason_is_kept(page: Page, fleet: Fleet, run: Run) -> None:
    device = fleet.let_in("a")["a"]
    assert "also the 1 device that has not come" in counted(page)
    answer = finish(page)
    assert answer.status_code == 303, answer.text
    told = words(page.text(answer.location))
    assert told.count("Making it ACTIVE on its own page undoes that.") == 1
    assert "Done: the old CA is INACTIVE" in told
    assert "factory-a is INACTIVE: no new device of it is registered." in words(page.text(HERE))
    assert f"jitr ca rollover {FACTORY.id[:12]} {OTHER.id[:12]} --finish" not in told
    assert (status(fleet), fleet.world.status(device)) == ("INACTIVE", "ACTIVE")
    (entry,) = json.loads(run("history", "--json").stdout)
    assert entry["command"] == f"ca rollover {FACTORY.id[:12]} {OTHER.id[:12]} --finish"
    assert (entry["why"], entry["outcome"]) == ("the last truck is back", "done")


def status(fleet: Fleet) -> str:
    return str(fleet.world.iot.describe_ca_certificate(certificateId=FACTORY.id)["certificateDescription"]["status"])


def test_a_stale_view_finishes_nothing(page: Page, fleet: Fleet, run: Run) -> None:
    """Counted again, made INACTIVE and ACTIVE elsewhere, not sure, without a reason: nothing is changed."""
    fleet.let_in("a")
    counted(page)
    for form, told in (
        ({"counted": "2026-01-01T00:00:00Z"}, "counted again after they were shown"),
        ({"status": "INACTIVE"}, "the CA is ACTIVE by now"),
        ({"sure": ""}, "say that you are sure"),
        ({"message": " "}, "say why"),
    ):
        answer = finish(page, **form)
        assert (answer.status_code, told in answer.text) == (400, True), answer.text
    assert status(fleet) == "ACTIVE"
    other = Page().enter()
    answer = other.post(f"{HERE}/finish", status="ACTIVE", message="x", sure="yes", counted="x")
    assert (answer.status_code, "not counted here yet" in answer.text) == (400, True)


def test_it_is_not_finished_while_the_new_ca_takes_no_devices(page: Page, fleet: Fleet, aws: Aws) -> None:
    counted(page)
    form = shown(page)
    takes_devices(aws, fleet.world, on=False)
    assert re.search(r'class="danger" disabled>Finish', page.text(HERE))
    answer = finish(page, **form)
    assert (answer.status_code, "no device could come in" in answer.text) == (400, True)
    assert status(fleet) == "ACTIVE"


def test_reading_only_counts_and_finishes_nothing(fleet: Fleet) -> None:
    page = Page(read_only=True).enter()
    fleet.let_in("a")
    assert "Count again" in counted(page)
    answer = finish(page)
    assert "--read-only" in answer.text
    assert status(fleet) == "ACTIVE"


# --- errors


WRONG = (
    (f"/cas/{ABSENT}/rollover", 400, f"no CA {ABSENT} is registered"),
    (f"{CHOOSE}/{ABSENT}", 400, f"no CA {ABSENT} is registered"),
    (f"{CHOOSE}/{FACTORY.id}", 400, "a CA does not succeed itself"),
    (f"{CHOOSE}/x", 404, "nothing here"),
    ("/cas/factory-a/rollover", 404, "nothing here"),
    (f"{HERE}/x.csv", 404, "nothing here"),
    (f"{HERE}/both.csv", 400, "not counted here yet"),
)


def test_what_is_no_roll_over_is_told_where_it_was_asked_for(page: Page) -> None:
    for path, code, told in WRONG:
        answer = page.get(path)
        assert (answer.status_code, told in html.unescape(answer.text)) == (code, True), answer.text


def test_the_older_ca_follows_nobody(page: Page, fleet: Fleet) -> None:
    draft = pki.ca_draft("Newer").valid(
        OTHER.draft.not_before + timedelta(days=1), OTHER.draft.not_after + timedelta(days=1)
    )
    newer = pki.make(draft.basic_constraints(ca=True).key_usage("keyCertSign").identifiers())
    register_ca(fleet.world.iot, newer)
    answer = page.get(f"/cas/{newer.id}/rollover/{OTHER.id}")
    assert (answer.status_code, "name the CA that is left first" in answer.text) == (400, True)


def test_a_missing_permission_is_told_by_the_count_that_lacks_it(page: Page, aws: Aws) -> None:
    listing = aws.overrides["ListCertificatesByCA"]
    for operation in ("ListCertificatesByCA", "Query"):
        told = f"not authorized to perform: x:{operation}"
        aws.overrides[operation] = refusing("AccessDeniedException", operation, told)
        text = page.finish(page.post(f"{HERE}/count"))
        assert ("You may not do this" in text, told in text) == (True, True), text
        aws.overrides["ListCertificatesByCA"] = listing
    del aws.overrides["Query"]
    assert "Count the devices" in page.text(HERE)


def test_a_refusal_to_finish_is_shown_where_it_was_asked_for(page: Page, fleet: Fleet, aws: Aws) -> None:
    counted(page)
    told = "not authorized to perform: iot:UpdateCACertificate"
    aws.overrides["UpdateCACertificate"] = refusing("AccessDeniedException", "UpdateCACertificate", told)
    answer = finish(page)
    assert (answer.status_code, "iot:UpdateCACertificate" in answer.text) == (403, True)


def test_once_the_stack_is_gone_nothing_is_counted_and_nothing_finished(page: Page, aws: Aws) -> None:
    counted(page)
    form = shown(page)
    gone = refusing("ValidationError", "DescribeStacks", "Stack with id jitr does not exist")
    aws.overrides["DescribeStacks"] = gone
    aws.calls.clear()
    for path in ("count", "finish"):
        answer = page.post(f"{HERE}/{path}", message="x", sure="yes", **form)
        assert answer.status_code in (400, 403, 502), answer.text
    assert not {"ListCertificatesByCA", "UpdateCACertificate"} & set(aws.operations)
