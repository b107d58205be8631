import subprocess
import sys
from pathlib import Path

from crossmargin.account import check_account
from crossmargin.instruments import ContractKind, InstrumentKind
from crossmargin.pricing import price
from crossmargin.sources import load_accounts, load_snapshot
from crossmargin.units import years_between

DEMO = Path("src/crossmargin/cli/demo")


def test_the_files_are_what_the_script_makes(root: Path) -> None:
    checked = subprocess.run([sys.executable, str(root / "scripts" / "make_demo.py"), "--check"], check=False)
    assert checked.returncode == 0


def test_the_desk_holds_what_the_demo_is_about(root: Path) -> None:
    snapshot = load_snapshot(root / DEMO / "snapshot.json")
    accounts = {account.id: account for account in load_accounts(root / DEMO / "accounts.json").require()}
    for account in accounts.values():
        check_account(account)
        assert {position.instrument for position in account.positions} <= set(snapshot.listings)
    desk = accounts["desk"]
    assert desk.balances["SOL"] < 0
    assert {"STETH", "USDC", "USDT"} <= set(desk.balances)
    assert sum(bool(position.isolated_collateral) for position in desk.positions) == 1
    assert set(accounts) == {"desk", "mission-call", "mission-put", "flat", "one-perp"}


def test_marks_follow_from_forwards_and_vols(root: Path) -> None:
    snapshot = load_snapshot(root / DEMO / "snapshot.json")
    options = [x for x in snapshot.listings.values() if x.kind is InstrumentKind.OPTION]
    assert len(options) == 180
    for option in options:
        assert option.forward_price is not None
        assert option.strike is not None
        assert option.mark_iv is not None
        assert option.expiry is not None
        assert option.mark_price is not None
        years = years_between(snapshot.as_of, option.expiry)
        value = float(price(option.forward_price, option.strike, option.mark_iv, years, option.option_type == "call"))
        coin = option.contract is ContractKind.INVERSE
        assert abs(option.mark_price - (value / option.forward_price if coin else value)) < 1e-6
