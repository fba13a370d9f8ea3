"""`fornada-worker --adopt-artifacts`: a person says that the artifacts folder is the right one."""

import logging

from fornada import fleet_marker
from fornada.db import migrations
from fornada.db.errors import DatabaseUnreachable, NotPermitted, SchemaMismatch
from fornada.db.store.session import Database
from fornada.errors import SettingsError
from fornada.settings import Settings
from fornada.worker.host.options import EXIT_SCHEMA, EXIT_USAGE

log = logging.getLogger("fornada.worker")


def adopt_artifacts() -> int:
    """Write the database's uid into the marker of the artifacts folder.

    Returns:
        The exit code: 0, or a refusal of `fornada.worker.host.options` after a line that says why.
    """
    try:
        settings = Settings()
        database = Database(settings.sql_url)
        try:
            schema = migrations.prepare(database, may_upgrade=False)
        finally:
            database.dispose()
        folder = settings.artifacts_folder
        if schema.fleet is not None and not fleet_marker.names(folder, schema.fleet):
            fleet_marker.write(folder, schema.fleet)
    except SchemaMismatch as exc:
        log.error("%s", exc)  # noqa: TRY400 - for an operator
        return EXIT_SCHEMA
    except (SettingsError, DatabaseUnreachable, NotPermitted, OSError) as exc:
        log.error("the artifacts folder is not adopted: %s", exc)  # noqa: TRY400
        return EXIT_USAGE
    log.info("%s is the artifacts folder of %s now", folder, settings.store)
    return 0
