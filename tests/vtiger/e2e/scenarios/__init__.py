"""All scenarios, in the order in which they are played."""
from scenarios import records, identity, module, telephone, listening, office_day, administration, desk, lifecycle  # noqa: F401
from scenarios.common import SCENARIOS  # noqa: F401
