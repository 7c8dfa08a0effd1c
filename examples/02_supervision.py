"""A supervised pair, a crash, and what those who asked and watched get to see.

python examples/02_supervision.py [--backend asyncio|uvloop|trio]
"""

import argparse
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import anyio

from tinyllm_actors import Actor, ActorSystem, Backoff, Strategy, Supervisor
from tinyllm_actors.errors import ActorFailed, AskTimeout
from tinyllm_actors.kernel import ChildRestarted, Terminated


@dataclass(frozen=True)
class Withdraw:
    amount: int


class Account(Actor):
    def __init__(self, balance: int) -> None:
        self.balance = balance

    def receive(self, message: Withdraw) -> int:
        if message.amount > self.balance:
            raise ValueError(f"{message.amount} is more than the {self.balance} there are")
        self.balance -= message.amount
        return self.balance


class Auditor(Actor):
    async def started(self) -> None:
        self.context.watch(self.context.system["bank/account"])

    async def receive(self, message: Any) -> None:
        match message:
            case Terminated(ref=ref, reason=reason):
                print(f"{ref.path} is gone: {reason}")
            case "sleep":
                await anyio.sleep_forever()
            case _:
                print(f"noted: {message}")

    async def stream(self, message: int) -> AsyncGenerator[str, None]:
        for number in range(message):
            yield f"entry {number}"


async def main() -> None:
    together = Supervisor(strategy=Strategy.ONE_FOR_ALL, max_restarts=3, period=5.0, backoff=Backoff(0.01, 1.0))
    async with ActorSystem("bank-service") as system:
        bank = await system.supervise(
            together, [Account.spec(100).named("account"), Auditor.spec().named("auditor")], name="bank"
        )
        account, auditor = system["bank/account"], system["bank/auditor"]
        print("balance:", await account.ask(Withdraw(30)))
        async with system.events(ChildRestarted) as restarts:
            try:
                await account.ask(Withdraw(1000))
            except ActorFailed as error:
                print("refused:", error.cause)
            # One for all: both are new, and the references still lead to them.
            print("restarted:", sorted([(await restarts.receive()).path, (await restarts.receive()).path]))
        print("balance:", await account.ask(Withdraw(0)))
        try:
            await auditor.ask("sleep", timeout=0.05)
        except AskTimeout as error:
            print("too late:", error)
        async with auditor.stream(3) as entries:
            print([entry async for entry in entries])
        print(system.inspect().render())
        await account.stop()
        print("the bank is", bank.state)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "uvloop", "trio"])
    given, _ = parser.parse_known_args()
    loop: dict[str, Any] = {"backend": given.backend}
    if given.backend == "uvloop":
        loop = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    anyio.run(main, **loop)
