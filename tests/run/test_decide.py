"""Deciding: no reading, command or ending leads astray; every way ends at 0 or 100; law 8's order holds."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from landbridge.model.journal import Command, Phase, State, What
from landbridge.model.plan import Act, ActKind, Bounds, Plan, ServicePlan, Wave
from landbridge.model.service import ServiceId
from landbridge.run.agenda import WAY_BACK, Agenda, agenda, next_step, open_by_service, open_wave, way_back
from landbridge.run.decide import Do, End, Ending, Result, Undo, Wait, decide, learn, obey, renew
from landbridge.run.watch import begin_judge

NAMES = [ServiceId("shop", name) for name in ("cart", "pay", "web")]
WEIGHTS = st.lists(st.integers(1, 99), min_size=1, max_size=5, unique=True).map(lambda w: (*sorted(w), 100))


def act(service: ServiceId, kind: ActKind, name: str = "", **args: object) -> Act:
    return Act(id=f"{service}/{name or kind.value}", kind=kind, args=args)


def plan_of(
    services: list[ServiceId], weights: tuple[int, ...], *, shared: bool = False, approve: bool = False
) -> Plan:
    kinds = (ActKind.READY, ActKind.PIN)
    ends = (ActKind.FINISH, ActKind.SOAK)
    head = services[0]

    def leave(s: ServiceId) -> tuple[Act, ...]:
        every = [str(x) for x in services] if shared else [str(s)]
        scale = (act(s, ActKind.SCALE, side="source", replicas=0, services=every),) if not shared or s == head else ()
        return (*scale, act(s, ActKind.UNADOPT, side="target"), act(s, ActKind.UNPIN), act(s, ActKind.HANDOVER))

    join = [
        ServicePlan(service=s, acts=(act(s, ActKind.ADOPT, side="source"), act(s, ActKind.SPLIT))) for s in services
    ]
    move = [
        ServicePlan(
            service=s,
            acts=(
                *(act(s, kind) for kind in kinds),
                act(s, ActKind.SHADOW, percent=10, dwell=1),
                *(act(s, ActKind.WEIGHT, f"weight-{w}", percent=w, dwell=1) for w in weights),
                *(act(s, kind) for kind in ends),
            ),
        )
        for s in services
    ]
    last = [ServicePlan(service=s, acts=leave(s)) for s in services]
    names = ("join", "move", "leave")
    waves = zip(names, (join, move, last), strict=True)
    made = tuple(Wave(name=n, services=tuple(w), approval=approve and n == "move") for n, w in waves)
    return Plan(source="legacy", target="eks", waves=made)


class Simulation:
    """The runner's loop without a runner: open acts kept as the journal keeps them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.open: dict[str, ServiceId] = {}
        self.begun: dict[str, Act] = {}
        self.states = {s: State(service=s, phase=Phase.WAITING) for s in agenda(plan).steps}
        self.commands: list[Command] = []
        self.now = 0.0
        self.log: list[tuple[str, str]] = []

    def book(self) -> Agenda:
        return agenda(self.plan, self.begun, {act: str(s) for act, s in self.open.items()})

    def command(self, what: What, service: ServiceId | None) -> None:
        self.commands.append(Command(seq=len(self.commands) + 1, what=what, service=service, by="ada", at=self.now))

    def step(self, service: ServiceId, result: Result | None) -> bool:
        """One turn of a service; False when there was nothing to do. A result of None dies in the act's middle."""
        book = self.book()
        state = self.states[service] = obey(book, self.states[service], self.commands)
        deed = decide(book, state, self.states, self.now, open_wave(book, self.states))
        if not isinstance(deed, Do | Undo):
            return False
        if isinstance(deed, Do):
            self.begun[deed.act.id] = deed.act
            self.open[deed.act.id] = service
        if result is None:
            return True
        self.log.append(("do" if isinstance(deed, Do) else "undo", deed.act.id))
        result = fitting(deed, result, state)
        self.states[service] = learn(self.book(), state, deed, result, self.now)
        if isinstance(deed, Undo) and result.ending is Ending.UNDONE:
            weights = deed.act.kind is ActKind.WEIGHT
            mine = [o for o, s in self.open.items() if s == service and self.begun[o].kind is ActKind.WEIGHT]
            for gone in [deed.act.id, *(mine if weights else [])]:
                self.open.pop(gone, None)
        return True

    def settle(self) -> None:
        """Everything succeeds from here on, and time passes."""
        for _ in range(2000):
            self.now += 10.0
            moved = [self.step(s, Result(ending=Ending.DONE)) for s in self.states]
            if not any(moved):
                return
        raise AssertionError("never ends")


def fitting(deed: Do | Undo, result: Result, state: State) -> Result:
    """A result as an executor would give it for this deed."""
    act_ = deed.act
    if isinstance(deed, Undo):
        if result.ending in {Ending.DONE, Ending.UNDONE}:
            return Result(ending=Ending.UNDONE, weight=0 if act_.kind is ActKind.WEIGHT else None)
        return replace(result, ending=Ending.HELD if result.ending is Ending.ROLL_BACK else result.ending)
    if act_.kind is ActKind.WEIGHT:
        return replace(result, weight=int(act_.args["percent"]))
    if act_.kind is ActKind.SOAK and result.ending is Ending.DONE and state.phase is not Phase.SOAKING:
        return replace(result, ending=Ending.BEGUN)
    if act_.kind is ActKind.SHADOW:
        return replace(result, weight=0)
    return result if result.ending is not Ending.ROLL_BACK else replace(result, ending=Ending.FAILED)


endings = st.none() | st.sampled_from(list(Ending)).map(lambda e: Result(ending=e, reason="because"))
moves = st.one_of(
    st.tuples(st.sampled_from(NAMES), endings),
    st.tuples(st.sampled_from([None, *NAMES]), st.sampled_from(list(What))),
)


@settings(max_examples=120, deadline=None)
@given(WEIGHTS, st.lists(moves, max_size=60), st.booleans(), st.booleans())
def test_whatever_happens_every_service_ends_at_0_or_100(
    weights: tuple[int, ...], happenings: list[tuple[ServiceId | None, object]], shared: bool, approve: bool
) -> None:
    world = Simulation(plan_of(NAMES, weights, shared=shared, approve=approve))
    for who, what in happenings:
        if isinstance(what, What):
            world.command(what, who)
        elif who is not None:
            assert what is None or isinstance(what, Result)
            world.step(who, what)
        world.now += 1.0
    world.settle()
    for _ in range(3):  # a person lets go on whatever waits for one
        world.command(What.RESUME, None)
        world.command(What.APPROVE, None)
        world.settle()
    for state in world.states.values():
        assert state.weight in {0, 100}
        assert state.phase in {Phase.DONE, Phase.ROLLED_BACK, Phase.WAITING, Phase.MOVING}
        assert (state.phase is Phase.DONE) <= (state.weight == 100)
        assert (state.phase is Phase.ROLLED_BACK) <= (state.weight == 0)


@settings(max_examples=100, deadline=None)
@given(WEIGHTS, st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), max_size=60))
def test_a_crash_at_any_line_comes_to_the_same_end(
    weights: tuple[int, ...], turns: list[tuple[ServiceId, bool]]
) -> None:
    world = Simulation(plan_of(NAMES, weights))
    for service, dies in turns:
        world.step(service, None if dies else Result(ending=Ending.DONE))
        world.now += 10.0
    world.settle()
    assert {state.phase for state in world.states.values()} == {Phase.DONE}
    raised = [name for deed, name in world.log if deed == "do" and "/weight-" in name]
    assert len(raised) == len(set(raised)) == len(NAMES) * len(weights)


@settings(max_examples=100, deadline=None)
@given(WEIGHTS, st.integers(0, 80))
def test_the_way_back_has_the_order_of_law_8_from_any_point(weights: tuple[int, ...], steps: int) -> None:
    world = Simulation(plan_of(NAMES[:1], weights))
    for _ in range(steps):
        world.step(NAMES[0], Result(ending=Ending.DONE))
        world.now += 10.0
    done_before = len(world.log)
    world.command(What.ROLLBACK, None)
    world.settle()
    undone = [world.begun[name].kind for deed, name in world.log[done_before:] if deed == "undo"]
    assert undone == sorted(undone, key=WAY_BACK.index)
    assert undone.count(ActKind.WEIGHT) <= 1
    assert world.states[NAMES[0]].phase is Phase.ROLLED_BACK
    assert world.states[NAMES[0]].weight == 0
    assert not [a for a in map(world.book().act, world.open) if a is not None and a.kind in WAY_BACK]
    world.states[NAMES[0]] = renew(world.states[NAMES[0]])
    world.settle()
    assert world.states[NAMES[0]].phase is Phase.DONE
    assert world.states[NAMES[0]].attempt == 2


@settings(max_examples=100, deadline=None)
@given(WEIGHTS, st.lists(st.sampled_from(NAMES), max_size=120))
def test_the_way_back_is_the_same_by_what_is_open_of_one_service(
    weights: tuple[int, ...], turns: list[ServiceId]
) -> None:
    world = Simulation(plan_of(NAMES, weights, shared=True))
    for service in turns:
        world.step(service, Result(ending=Ending.DONE))
        world.now += 10.0
    book = world.book()
    known = open_by_service(book)
    for service, state in world.states.items():
        assert way_back(replace(book, open=known.get(str(service), {})), state) == way_back(book, state)


def test_no_service_moves_before_all_have_joined() -> None:
    world = Simulation(plan_of(NAMES, (5, 100)))
    for _ in range(20):
        world.step(NAMES[0], Result(ending=Ending.DONE))
    assert world.states[NAMES[0]].weight == 0
    assert [name for _, name in world.log] == ["shop/cart/adopt", "shop/cart/split"]
    answer = decide(world.book(), world.states[NAMES[0]], world.states, 0.0, open_wave(world.book(), world.states))
    assert answer == Wait(reason="wave join is not finished", gate=True)


def test_a_failure_while_joining_stops_all_and_one_while_moving_stops_only_itself() -> None:
    world = Simulation(plan_of(NAMES, (5, 100)))
    world.step(NAMES[1], Result(ending=Ending.FAILED, reason="no waypoint"))
    world.settle()
    assert {s.weight for s in world.states.values()} == {0}
    assert world.states[NAMES[1]].phase is Phase.FAILED
    world = Simulation(plan_of(NAMES, (5, 100)))
    while not any(name == "shop/pay/weight-5" for _, name in world.log):
        for service in NAMES:
            failing = service == NAMES[1] and world.states[service].done[-1:] == ("shop/pay/shadow",)
            world.step(service, Result(ending=Ending.DRIFT if failing else Ending.DONE))
    world.settle()
    assert [world.states[s].phase for s in NAMES] == [Phase.DONE, Phase.DRIFTED, Phase.DONE]


def test_workloads_shared_with_a_service_at_home_keep_their_size() -> None:
    cart, pay = NAMES[:2]
    world = Simulation(plan_of([cart, pay], (5, 100), shared=True))
    while not any(name == "shop/pay/weight-5" for _, name in world.log):
        world.step(cart, Result(ending=Ending.DONE))
        rolls = next_step(world.book(), world.states[pay])
        bad = rolls is not None and rolls.act.id == "shop/pay/weight-5"
        world.step(pay, Result(ending=Ending.ROLL_BACK if bad else Ending.DONE))
        world.now += 10
    world.settle()
    assert ("do", "shop/cart/scale") not in world.log
    answer = decide(world.book(), world.states[cart], world.states, world.now, 9)
    assert answer == End("the source keeps its size for shop/pay")


def test_a_member_that_goes_home_takes_the_shared_scaling_back() -> None:
    cart, pay = NAMES[:2]
    world = Simulation(plan_of([cart, pay], (5, 100), shared=True))
    world.settle()
    world.command(What.ROLLBACK, pay)
    before = len(world.log)
    world.settle()
    undone = [name for deed, name in world.log[before:] if deed == "undo"]
    assert undone.index("shop/cart/scale") < undone.index("shop/pay/weight-100")
    assert world.states[cart].weight == 100
    assert ("do", "shop/cart/scale") not in world.log[before:]


def test_a_hold_is_overruled_by_an_approval() -> None:
    world = Simulation(plan_of(NAMES[:1], (5, 100)))
    web = NAMES[0]
    while world.states[web].phase is not Phase.HELD:
        step = next_step(world.book(), world.states[web])
        held = step is not None and step.act.kind is ActKind.WEIGHT
        world.step(web, Result(ending=Ending.HELD if held else Ending.DONE, reason="no data"))
    assert world.states[web].weight == 5
    world.command(What.APPROVE, web)
    world.settle()
    assert world.states[web].phase is Phase.DONE


def test_an_approval_before_a_wave_is_waited_for() -> None:
    world = Simulation(plan_of(NAMES, (5, 100), approve=True))
    world.settle()
    assert {s.weight for s in world.states.values()} == {0}
    world.command(What.APPROVE, None)
    world.settle()
    assert {s.phase for s in world.states.values()} == {Phase.DONE}


def test_an_edited_plan_goes_on_from_where_the_weight_is() -> None:
    world = Simulation(plan_of(NAMES[:1], (5, 50, 100)))
    web = NAMES[0]
    while world.states[web].weight < 50:
        world.step(web, Result(ending=Ending.DONE))
    world.plan = plan_of(NAMES[:1], (1, 25, 75, 100))
    before = len(world.log)
    world.settle()
    assert [n for d, n in world.log[before:] if "weight" in n] == ["shop/cart/weight-75", "shop/cart/weight-100"]
    assert [a.id for a in way_back(world.book(), world.states[web]) if a.kind is ActKind.WEIGHT] == [
        "shop/cart/weight-100"
    ]


def going_home() -> tuple[Simulation, ServiceId]:
    """A service at 5 % that is asked home; its weight is the first act to be taken back."""
    world, web = Simulation(plan_of(NAMES[:1], (5, 100))), NAMES[0]
    while world.states[web].weight < 5:
        world.step(web, Result(ending=Ending.DONE))
    world.command(What.ROLLBACK, web)
    return world, web


def test_an_undo_that_fails_is_tried_again_after_ever_longer_rests() -> None:
    world, web = going_home()
    rests = []
    for _ in range(7):
        assert world.step(web, Result(ending=Ending.FAILED, reason="no answer"))
        assert not world.step(web, Result(ending=Ending.DONE)), "it rests"
        rests.append(world.states[web].step_started - world.now)
        world.now = world.states[web].step_started
    assert rests == [2, 4, 8, 16, 30, 30, 30]
    assert world.step(web, Result(ending=Ending.DONE))
    world.step(web, Result(ending=Ending.HELD, reason="the source is not ready"))
    assert world.states[web].step_started - world.now == 2, "another act begins afresh"
    world.settle()
    assert world.states[web].phase is Phase.ROLLED_BACK


@given(st.sampled_from([Ending.REFUSED, Ending.DRIFT]), st.booleans())
def test_an_undo_that_is_refused_waits_for_a_person_and_then_goes_on_home(ending: Ending, new_run: bool) -> None:
    world, web = going_home()
    world.step(web, Result(ending=ending, reason="may not patch trafficsplits"))
    world.now += 3600
    assert not world.step(web, Result(ending=Ending.DONE))
    state = world.states[web]
    assert (state.phase, state.reason) == (
        Phase.FAILED if ending is Ending.REFUSED else Phase.DRIFTED,
        "may not patch trafficsplits",
    )
    assert decide(world.book(), state, world.states, world.now, 9) == Wait(reason=state.reason, person=True)
    before = len(world.log)
    if new_run:
        world.states[web] = renew(state)
    else:
        world.command(What.RESUME, web)
    world.settle()
    assert {deed for deed, _ in world.log[before:]} == {"undo"}
    assert world.states[web].phase is Phase.ROLLED_BACK
    assert world.states[web].weight == 0


def test_a_worse_copy_comes_home_before_any_weight() -> None:
    web = NAMES[0]
    world = Simulation(plan_of(NAMES[:1], (5, 100)))
    while world.states[web].phase is not Phase.ROLLING_BACK:
        step = next_step(world.book(), world.states[web])
        copies = step is not None and step.act.kind is ActKind.SHADOW
        world.step(web, Result(ending=Ending.ROLL_BACK if copies else Ending.DONE, reason="worse"))
    assert way_back(world.book(), world.states[web])[0].id == "shop/cart/shadow"
    world.settle()
    assert world.states[web].phase is Phase.ROLLED_BACK
    assert not [name for _, name in world.log if "/weight-" in name]


def test_a_hold_of_copies_is_overruled_by_an_approval() -> None:
    web = NAMES[0]
    world = Simulation(plan_of(NAMES[:1], (5, 100)))
    while world.states[web].phase is not Phase.HELD:
        step = next_step(world.book(), world.states[web])
        held = step is not None and step.act.kind is ActKind.SHADOW
        world.step(web, Result(ending=Ending.HELD if held else Ending.DONE, reason="no data"))
    world.command(What.APPROVE, web)
    world.settle()
    assert world.states[web].phase is Phase.DONE
    assert [name for _, name in world.log].count("shop/cart/shadow") == 1


def test_a_plan_that_gets_a_shadow_in_mid_ramp_does_not_copy_what_users_have() -> None:
    web = NAMES[0]
    plan = plan_of(NAMES[:1], (5, 100))

    def bare(entry: ServicePlan) -> ServicePlan:
        return replace(entry, acts=tuple(act for act in entry.acts if act.kind is not ActKind.SHADOW))

    without = replace(plan, waves=tuple(replace(w, services=tuple(map(bare, w.services))) for w in plan.waves))
    world = Simulation(without)
    while world.states[web].weight != 5:
        world.step(web, Result(ending=Ending.DONE))
    world.plan = plan
    step = next_step(world.book(), world.states[web])
    assert step is not None
    assert step.act.id == "shop/cart/weight-100"


def test_what_the_plan_asks_of_a_step_is_asked_of_the_judge() -> None:
    service = ServiceId("shop", "web")
    asked = Bounds(alpha=0.02, slo=0.01, slo_rolls_back=True, must_see=10.0, pass_below=2.0)
    wave = Wave(name="wave-1", services=(ServicePlan(service=service, acts=(act(service, ActKind.WEIGHT, dwell=9),)),))
    state = begin_judge(Plan(source="legacy", target="eks", waves=(wave,), bounds=asked), service)
    found = state.settings
    assert (found.alpha, found.slo, found.slo_rolls_back) == (0.02, 0.01, True)
    assert (found.must_see, found.pass_below, found.block_seconds) == (10.0, 2.0, 9.0)
