"""Looking at the devices of a deployment, with the credentials of whoever asks."""

from jitr.aws.iot import Iot
from jitr.aws.ocsp_responders import OcspResponders
from jitr.aws.pacing import Pace
from jitr.services.fleet.examination import AsNow, Examiner
from jitr_operations.crls import crls_with
from jitr_operations.deployment import Deployment
from jitr_operations.fleet.selection import Selection
from jitr_operations.table import now, table_of


def examiner_for(deployment: Deployment, iot: Iot, pace: Pace, selection: Selection) -> Examiner:
    """Return who looks at a deployment's devices, by what is in force now. Raises as ``Examiner``."""
    seen = AsNow(iot, crls_with(deployment), OcspResponders(turn=pace.take), now)
    return Examiner(table_of(deployment), seen, now, selection.rules_of)
