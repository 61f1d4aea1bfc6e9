"""All scenarios, in the order in which they are played."""
from scenarios import records, identity, module, telephone, office_day, lifecycle  # noqa: F401
from scenarios.common import SCENARIOS  # noqa: F401
