"""What one request uses of the budget is given back once, however it ends."""

from app.core.budget import SMALL, Account, Budget

LARGE = 10 * SMALL


async def test_work_and_memory_are_given_back_once() -> None:
    budget = Budget(100 * SMALL)
    account = Account(budget)
    account.hold(LARGE)
    await account.begin(LARGE)
    assert (budget.held, budget.work) == (LARGE, LARGE)
    account.end()
    assert (budget.held, budget.work) == (LARGE, 0)
    for _ in range(2):  # as when the client has gone meanwhile
        account.close()
        assert (budget.held, budget.work) == (0, 0)


async def test_only_growth_is_counted() -> None:
    budget = Budget(100 * SMALL)
    account = Account(budget)
    account.hold(SMALL)
    assert budget.held == 0
    account.hold(LARGE)
    account.hold(LARGE - 1)
    assert budget.held == LARGE
    account.hold(200 * SMALL, anyway=True)
    assert budget.held == 200 * SMALL
    account.close()
    assert budget.held == 0
