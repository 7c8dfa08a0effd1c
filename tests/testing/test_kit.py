"""The public test kit: probes, puppets, faults, goldens, the kit itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, AskTimeout, ForeignCancellation, StartFailed
from tinyllm_actors.kernel import Actor, ActorSystem, Backoff, ExitKind, Mailbox, Restart, Supervisor
from tinyllm_actors.testing import (
    Faults,
    InjectedFault,
    Probe,
    Puppet,
    TestKit,
    VirtualClock,
    assert_golden,
    record_transitions,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tinyllm_actors.kernel import ActorRef, ChildSpec

pytestmark = pytest.mark.virtual_time

PATIENT = Supervisor(max_restarts=100, backoff=None)


class Echo(Actor):
    """Answers what it is told."""

    async def receive(self, message: Any) -> Any:
        return message


class Relay(Actor):
    """Sends on what it gets, and says so."""

    def __init__(self, target: ActorRef) -> None:
        self.target = target

    async def receive(self, message: Any) -> Any:
        return await self.target.ask(message)


@pytest.mark.anyio
class TestProbes:
    """What a probe promises."""

    async def test_a_probe_gets_messages_in_order(self) -> None:
        """By their type, with everything kept in `messages`."""
        async with TestKit() as kit:
            probe = await kit.probe("probe")
            for message in (1, "two", 3.0):
                await probe.ref.tell(message)
            assert await probe.expect_message(int) == 1
            assert await probe.expect_message(str) == "two"
            assert await probe.expect_message() == 3.0
            assert probe.messages == [1, "two", 3.0]
            assert probe.ref.path == "probe"

    async def test_a_probe_answers_what_the_test_says(self) -> None:
        """A value or a failure, to whoever asked; also through another actor."""
        async with TestKit() as kit:
            probe = await kit.probe()
            relay = await kit.system.spawn(Relay.spec(probe.ref).with_options(restart=Restart.TEMPORARY))
            answers: list[Any] = []

            async def ask(message: str) -> None:
                answers.append(await relay.ask(message))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, "question")
                assert await probe.expect_message(str) == "question"
                probe.reply("answer")
            assert answers == ["answer"]
            failing = probe.ref.ask("again")
            await probe.expect_message()
            probe.fail(LookupError("none"))
            with pytest.raises(ActorFailed, match="none"):
                await failing

    async def test_a_probe_complains_when_nothing_comes(self) -> None:
        """After `within` seconds, exactly."""
        async with TestKit() as kit:
            probe = await kit.probe("probe")
            start = anyio.current_time()
            with pytest.raises(AssertionError, match="no str arrived at 'probe' within 7 s"):
                await probe.expect_message(str, within=7.0)
            assert anyio.current_time() - start == 7.0

    async def test_a_probe_complains_about_something_else(self) -> None:
        """The message is shown."""
        async with TestKit() as kit:
            probe = await kit.probe("probe")
            await probe.ref.tell(17)
            with pytest.raises(AssertionError, match="expected a str at 'probe', got 17"):
                await probe.expect_message(str)

    async def test_a_probe_can_expect_silence(self) -> None:
        """For a while; a message that comes, or had come before, is shown; those to be ignored are."""
        async with TestKit() as kit:
            probe = await kit.probe("probe")
            probe.ignore(lambda message: message == "tick")
            puppet = await kit.system.spawn(Puppet)

            async def later(_: Puppet) -> None:
                await anyio.sleep(5.0)
                await probe.ref.tell("tick")
                await anyio.sleep(5.0)
                await probe.ref.tell("tock")

            await puppet.tell(later)
            await probe.expect_nothing(within=9.0)
            with pytest.raises(AssertionError, match="expected nothing at 'probe', got 'tock'"):
                await probe.expect_nothing(within=9.0)
            with pytest.raises(AssertionError, match="'tock'"):
                await probe.expect_nothing(within=0.0)
            assert probe.messages == ["tick", "tock"]

    async def test_a_probe_cannot_answer_nobody(self) -> None:
        """A told message, an ask that is too late, and no message at all have no answer."""
        async with TestKit() as kit:
            probe = await kit.probe()
            with pytest.raises(AssertionError, match="nobody waits"):
                probe.reply(1)
            await probe.ref.tell("told")
            await probe.expect_message()
            with pytest.raises(AssertionError, match="nobody waits"):
                probe.reply(1)
            with pytest.raises(AskTimeout):
                await probe.ref.ask("?", timeout=1.0)
            await probe.expect_message()
            with pytest.raises(AssertionError, match="nobody waits"):
                probe.fail(LookupError())

    async def test_a_probe_sees_ends(self) -> None:
        """Of those it watches, with the reason; another one is a mistake that is named."""
        async with ActorSystem() as system:
            probe = await Probe.spawn(system)
            one, two = [await system.spawn(Echo, name=name) for name in ("one", "two")]
            for ref in (one, two):
                await probe.watch(ref)
            await one.stop()
            await two.kill()
            assert (await probe.expect_terminated(one)).kind is ExitKind.STOPPED
            with pytest.raises(AssertionError, match="expected the end of 'one', got that of 'two'"):
                await probe.expect_terminated(one)


@pytest.mark.anyio
class TestFaults:
    """What each fault does."""

    @staticmethod
    async def spawn(system: ActorSystem, faults: Faults, spec: ChildSpec | None = None) -> ActorRef:
        return await system.spawn(faults.wrap(spec or Echo.spec()), name="echo")

    async def test_a_crash_on_the_nth_message(self) -> None:
        """Counted over incarnations; with the error of the test, or `InjectedFault`."""
        async with ActorSystem(supervisor=PATIENT) as system:
            faults = Faults().crash(on=[2, 4]).crash(on=5, error=LookupError("mine"))
            echo = await self.spawn(system, faults)
            outcomes: list[Any] = []
            for number in range(1, 7):
                try:
                    outcomes.append(await echo.ask(number))
                except ActorFailed as error:
                    outcomes.append(type(error.cause))
            assert outcomes == [1, InjectedFault, 3, InjectedFault, LookupError, 6]
            assert (faults.handled, faults.starts) == (6, 4)

    async def test_a_delay_and_a_hang(self) -> None:
        """By message; only a cancellation ends a hang."""
        async with ActorSystem() as system:
            faults = (
                Faults().delay(5.0, on=lambda message: message == "slow").hang(on=lambda message: message == "stuck")
            )
            echo = await self.spawn(system, faults)
            start = anyio.current_time()
            assert await echo.ask("quick") == "quick"
            assert anyio.current_time() == start
            assert await echo.ask("slow") == "slow"
            assert anyio.current_time() == start + 5.0
            with pytest.raises(AskTimeout):
                await echo.ask("stuck", timeout=9.0)
            assert await echo.ask("quick") == "quick"

    async def test_a_lost_reply(self) -> None:
        """The message is handled, the asker waits for its deadline."""
        async with ActorSystem() as system:
            faults = Faults().drop_reply(on=1)
            echo = await self.spawn(system, faults)
            with pytest.raises(AskTimeout):
                await echo.ask("?", timeout=1.0)
            assert await echo.ask("!") == "!"
            assert faults.handled == 2

    async def test_a_foreign_cancellation(self) -> None:
        """The message fails with that, nobody else notices."""
        async with ActorSystem(supervisor=PATIENT) as system:
            other = await system.spawn(Echo)
            echo = await self.spawn(system, Faults().foreign_cancellation(on=1))
            with pytest.raises(ActorFailed) as caught:
                await echo.ask("?")
            assert isinstance(caught.value.cause, ForeignCancellation)
            assert await echo.ask("!") == "!"
            assert await other.ask("!") == "!"

    async def test_a_failed_start(self) -> None:
        """The first one fails the spawn; a later one is a failed restart, which is tried again."""
        supervisor = Supervisor(max_restarts=100, backoff=Backoff(1.0, 8.0, jitter=0.0))
        async with ActorSystem(supervisor=supervisor) as system:
            with pytest.raises(StartFailed, match="start 1 of the script"):
                await self.spawn(system, Faults().fail_start())
            faults = Faults().crash(on=1).fail_start([2, 3], error=LookupError("mine"))
            echo = await self.spawn(system, faults)
            with pytest.raises(ActorFailed):
                await echo.ask("?")
            assert await echo.ask("!") == "!"
            assert faults.starts == 4
            assert anyio.current_time() == 1.0 + 2.0 + 4.0

    async def test_a_wrapped_spec_keeps_what_it_was(self) -> None:
        """Name, options, plain handlers, `started()`, supervisors with children."""

        class Plain(Actor):
            def __init__(self) -> None:
                self.ready = False

            async def started(self) -> None:
                self.ready = True

            def receive(self, message: Any) -> bool:
                return self.ready

        async with ActorSystem(supervisor=PATIENT) as system:
            spec = Plain.spec().named("plain").with_options(mailbox=Mailbox(capacity=7))
            wrapped = Faults().wrap(spec)
            assert (wrapped.name, wrapped.options) == (spec.name, spec.options)
            plain = await system.spawn(wrapped)
            assert plain.path == "plain"
            assert await plain.ask("?") is True

    async def test_faults_of_one_message_happen_in_order(self) -> None:
        """A delay and then a crash."""
        async with ActorSystem(supervisor=PATIENT) as system:
            echo = await self.spawn(system, Faults().delay(3.0).crash())
            with pytest.raises(ActorFailed):
                await echo.ask("?")
            assert anyio.current_time() == 3.0


@pytest.mark.anyio
class TestTheKit:
    """What `TestKit` promises."""

    async def test_it_keeps_a_record(self) -> None:
        """Of transitions, failures and dead letters, without those of probes."""
        async with TestKit(supervisor=PATIENT) as kit:
            await kit.probe()
            puppet = await kit.system.spawn(Puppet, name="puppet")
            with pytest.raises(ActorFailed):
                await Puppet.do(puppet, lambda _: 1 / 0)
            await Puppet.do(puppet, lambda _: None)
            await puppet.stop()
            await puppet.tell("late")
            assert [type(failure.cause) for failure in kit.failures] == [ZeroDivisionError]
            assert [letter.message for letter in kit.dead_letters] == ["late"]
            assert kit.lines()[-1] == "[puppet] transition to: STOPPED"
            assert all(line.startswith("[puppet]") for line in kit.lines())
            assert kit.lines(lifecycle=False) == []

    async def test_a_strict_kit_fails_the_test_for_what_was_not_expected(self) -> None:
        """Failures and dead letters that the test did not clear; an error of the test itself comes first."""
        with pytest.raises(AssertionError, match="actors failed"):
            async with TestKit(strict=True, supervisor=PATIENT) as kit:
                await (await kit.system.spawn(Puppet)).tell(lambda_that_fails)
                await kit.until(lambda: kit.failures)
        with pytest.raises(AssertionError, match="not handled"):
            async with TestKit(strict=True) as kit:
                puppet = await kit.system.spawn(Puppet)
                await puppet.stop()
                await puppet.tell("late")
        with pytest.raises(LookupError, match="mine"):
            async with TestKit(strict=True, supervisor=PATIENT) as kit:
                await (await kit.system.spawn(Puppet)).tell(lambda_that_fails)
                await kit.until(lambda: kit.failures)
                raise LookupError("mine")
        async with TestKit(strict=True) as kit:
            await kit.system.spawn(Puppet)

    async def test_it_waits_until_all_is_quiet(self) -> None:
        """Until no message waits and no handler runs; one that does not end is shown."""
        async with TestKit() as kit:
            one, two = await kit.system.spawn(Puppet), await kit.system.spawn(Puppet, name="two")
            done: list[str] = []

            async def relay(_: Puppet) -> None:
                await anyio.sleep(1.0)
                await two.tell(finish)

            async def finish(_: Puppet) -> None:
                await anyio.sleep(1.0)
                done.append("done")

            await one.tell(relay)
            await kit.settle()
            assert done == ["done"]
            await two.tell(lambda_that_hangs)
            with pytest.raises(AssertionError, match=r"two  Puppet RUNNING  on function for"):
                await kit.settle(within=2.0)

    async def test_it_waits_for_a_condition(self) -> None:
        """And says so when it does not come true."""
        async with TestKit() as kit:
            start = anyio.current_time()
            await kit.until(lambda: anyio.current_time() > start + 1.0)
            with pytest.raises(AssertionError, match="did not come true within 2 s"):
                await kit.until(lambda: False, within=2.0)


def lambda_that_fails(_: Puppet) -> None:
    """Fail."""
    raise LookupError("broken")


async def lambda_that_hangs(_: Puppet) -> None:
    """Never end."""
    await anyio.sleep_forever()


class TestGoldens:
    """What golden files promise."""

    def test_lines_are_compared_with_those_of_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A missing file and a difference say what to do; the environment variable writes the file."""
        path = tmp_path / "sub" / "lines.txt"
        with pytest.raises(AssertionError, match=r"no golden file 'lines.txt'; run once with TINYLLM_UPDATE_GOLDEN=1"):
            assert_golden(["one", "two"], path)
        monkeypatch.setenv("TINYLLM_UPDATE_GOLDEN", "1")
        assert_golden(["one", "two"], path)
        monkeypatch.delenv("TINYLLM_UPDATE_GOLDEN")
        assert_golden(["one", "two"], str(path))
        with pytest.raises(AssertionError, match=r"(?s)-two.*\+three"):
            assert_golden(["one", "three"], path)

    def test_transitions_can_be_chosen(self) -> None:
        """By machine and by any condition; nothing is recorded outside of the block."""

        async def main() -> tuple[list[str], list[str]]:
            async with ActorSystem() as system:
                await system.spawn(Echo, name="before")
                with (
                    record_transitions(system) as none,
                    record_transitions(system, lifecycle=True, where=lambda event: event.target == "RUNNING") as some,
                ):
                    await system.spawn(Echo, name="echo")
                await system.spawn(Echo, name="after")
            return none, some

        assert VirtualClock().run(main) == ([], ["[echo] transition to: RUNNING"])
