"""aioxmpp's provisioner of accounts, without its economy: no test gets an account that another test has used.

Its own servers are tested so, with anonymous accounts; some of its tests want that nobody has published anything yet.
Loaded by its pytest plugin, by the name that suites.py gives it.
"""

from aioxmpp.e2etest.provision import StaticPasswordProvisioner


class FreshAccounts(StaticPasswordProvisioner):
    """Goes through the configured accounts once."""

    COUNTER = "_StaticPasswordProvisioner__nused_accounts"

    async def teardown(self):
        used = getattr(self, self.COUNTER)
        await super().teardown()
        setattr(self, self.COUNTER, used)
