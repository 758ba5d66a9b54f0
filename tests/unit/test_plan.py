"""What a plan's steps need of one another."""

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from jitr.decision.decide import Decision
from jitr.decision.plan import AddToGroup, AttachIotPolicy, AttachPrincipal, EnsureThing, SetStatus, lanes, plan
from jitr.reasons import Reason, Verdict
from jitr.rules.model import Grant


@given(
    st.sampled_from([None, "snr-0001"]),
    st.lists(st.sampled_from(["line-a", "line-b", "all"]), unique=True),
    st.lists(st.sampled_from(["Sensor", "Other"]), unique=True),
)
def test_lanes_hold_every_step_but_the_status_once_and_a_thing_before_what_is_attached_to_it(
    thing: str | None, groups: list[str], policies: list[str]
) -> None:
    grant = Grant(iot_policies=tuple(policies), thing=thing, thing_groups=tuple(groups))
    steps = plan(Decision(Verdict.ADMIT, (Reason("allow.rule", "matches"),), grant=grant))
    found = lanes(steps)
    every = list(chain.from_iterable(chain.from_iterable(found)))
    assert sorted(map(repr, every)) == sorted(repr(each) for each in steps if not isinstance(each, SetStatus))
    assert isinstance(steps[-1], SetStatus)
    for lane in found:
        assert all(lane)
        kinds = [{type(each) for each in stage} for stage in lane]
        assert kinds[0] in ({EnsureThing}, {AttachIotPolicy})
        assert all(each <= {AttachPrincipal, AddToGroup, AttachIotPolicy} for each in kinds[1:])
        assert all(len(stage) == 1 for stage in lane if isinstance(stage[0], AttachIotPolicy))
