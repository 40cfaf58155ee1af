"""report: the nightly count of orders, run by a CronJob; one row in `reports` for each time it ran.

The scheduled time is in the Job's name: the CronJob controller ends it with the time in minutes since the epoch. A row
is unique per Job and not per time, so two clusters that both ran one time leave two rows.
"""

from __future__ import annotations

import re

from landbridge.clock import Clock
from landbridge.lab.shop.wire.process import Process, log, run

INSERT = """INSERT INTO reports (scheduled, cluster, job, orders)
SELECT to_timestamp(%s), %s, %s, count(*) FROM orders ON CONFLICT (job) DO NOTHING"""


def scheduled_time(job: str, clock: Clock) -> float:
    """The time for which a Job was made, in seconds since the epoch; now when it was made by hand."""
    minutes = re.search(r"-(\d{7,})$", job)
    return int(minutes[1]) * 60.0 if minutes else clock.now()


async def main(process: Process) -> None:
    """Work for `REPORT_SECONDS`, write the row, end."""
    environ = process.settings.environ
    job, uid = environ.get("JOB_NAME", "by-hand"), environ.get("JOB_UID", process.settings.pod)
    database = await process.database()
    await process.clock.sleep(float(environ.get("REPORT_SECONDS") or "2"))
    scheduled = scheduled_time(job, process.clock)
    await database.run(INSERT, (scheduled, process.settings.cluster, f"{job}/{uid}"))
    log.info("reported for %d in %s", scheduled, process.settings.cluster)
    await process.end()


if __name__ == "__main__":
    run("report", 0, main)
