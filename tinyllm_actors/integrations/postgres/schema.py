"""The tables and functions, and how older ones become them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tinyllm_actors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.integrations.postgres.connection import Connection

__all__ = ["MIGRATIONS", "migrate"]

MIGRATIONS: Final = (
    """
    CREATE SEQUENCE tinyllm_actors_epochs;
    CREATE TABLE tinyllm_actors_conversations (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        key text COLLATE "C" NOT NULL UNIQUE,
        owner text,
        epoch bigint NOT NULL,
        last bigint NOT NULL DEFAULT 0,
        snapshot bigint NOT NULL DEFAULT 0,
        updated double precision NOT NULL
    );
    -- Rows are changed by every append: room beside them keeps that within the page.
    ALTER TABLE tinyllm_actors_conversations SET (fillfactor = 70);
    CREATE TABLE tinyllm_actors_entries (
        conversation bigint NOT NULL,
        sequence bigint NOT NULL,
        id text COLLATE "C" NOT NULL,
        kind text NOT NULL,
        version integer NOT NULL,
        at double precision NOT NULL,
        epoch bigint NOT NULL,
        owner text NOT NULL,
        checksum bigint NOT NULL,
        body bytea NOT NULL,
        PRIMARY KEY (conversation, sequence),
        UNIQUE (conversation, id)
    );
    CREATE TABLE tinyllm_actors_timers (
        conversation bigint NOT NULL,
        id text COLLATE "C" NOT NULL,
        due double precision NOT NULL,
        PRIMARY KEY (conversation, id)
    );
    CREATE INDEX tinyllm_actors_timers_due ON tinyllm_actors_timers (due);

    -- Store a batch in one round trip. Each statement of a function sees what was committed before it began, so all
    -- that is decided here is decided under the locks that the first one takes, in order of key.
    -- `place` says which of the grants an entry belongs to, from 1.
    CREATE FUNCTION tinyllm_actors_append(
        grant_keys text[], grant_owners text[], grant_epochs bigint[],
        places integer[], ids text[], kinds text[], versions integer[], ats double precision[], checksums bigint[],
        bodies bytea[], timers text[], dues double precision[]
    ) RETURNS TABLE (problem text, in_key text, in_id text) LANGUAGE plpgsql AS $$
    DECLARE
        numbers bigint[];
        timer record;
    BEGIN
        SELECT array_agg(held.id ORDER BY held.place) INTO numbers FROM (
            SELECT c.id, g.place
            FROM unnest(grant_keys, grant_owners, grant_epochs) WITH ORDINALITY AS g (key, owner, epoch, place)
            JOIN tinyllm_actors_conversations c ON c.key = g.key AND c.owner = g.owner AND c.epoch = g.epoch
            ORDER BY c.key FOR UPDATE OF c
        ) held;
        IF coalesce(cardinality(numbers), 0) < cardinality(grant_keys) THEN
            RETURN QUERY SELECT 'fenced', g.key, NULL::text
            FROM unnest(grant_keys, grant_owners, grant_epochs) AS g (key, owner, epoch)
            WHERE NOT EXISTS (
                SELECT FROM tinyllm_actors_conversations c
                WHERE c.key = g.key AND c.owner = g.owner AND c.epoch = g.epoch
            );
            RETURN;
        END IF;
        RETURN QUERY SELECT 'rejected', grant_keys[e.place], e.id
        FROM unnest(places, ids, checksums) AS e (place, id, checksum)
        JOIN tinyllm_actors_entries x ON x.conversation = numbers[e.place] AND x.id = e.id
        WHERE x.checksum <> e.checksum;
        IF FOUND THEN
            RETURN;
        END IF;
        FOR timer IN
            SELECT numbers[e.place] AS conversation, e.name, e.due
            FROM unnest(places, ids, timers, dues) WITH ORDINALITY AS e (place, id, name, due, n)
            WHERE e.name IS NOT NULL AND NOT EXISTS (
                SELECT FROM tinyllm_actors_entries x WHERE x.conversation = numbers[e.place] AND x.id = e.id
            )
            ORDER BY e.n
        LOOP
            IF timer.due IS NULL THEN
                DELETE FROM tinyllm_actors_timers t WHERE t.conversation = timer.conversation AND t.id = timer.name;
            ELSE
                INSERT INTO tinyllm_actors_timers VALUES (timer.conversation, timer.name, timer.due)
                ON CONFLICT (conversation, id) DO UPDATE SET due = excluded.due;
            END IF;
        END LOOP;
        WITH stored AS (
            INSERT INTO tinyllm_actors_entries
            SELECT c.id, c.last + row_number() OVER (PARTITION BY e.place ORDER BY e.n), e.id, e.kind, e.version, e.at,
                grant_epochs[e.place], grant_owners[e.place], e.checksum, e.body
            FROM unnest(places, ids, kinds, versions, ats, checksums, bodies) WITH ORDINALITY
                AS e (place, id, kind, version, at, checksum, body, n)
            JOIN tinyllm_actors_conversations c ON c.id = numbers[e.place]
            WHERE NOT EXISTS (SELECT FROM tinyllm_actors_entries x WHERE x.conversation = c.id AND x.id = e.id)
            RETURNING conversation, sequence, kind
        )
        UPDATE tinyllm_actors_conversations c
        SET last = s.last, snapshot = greatest(c.snapshot, s.snapshot), updated = extract(epoch FROM clock_timestamp())
        FROM (
            SELECT conversation, max(sequence) AS last,
                coalesce(max(sequence) FILTER (WHERE kind = 'snapshot'), 0) AS snapshot
            FROM stored GROUP BY conversation
        ) s
        WHERE c.id = s.conversation;
    END
    $$;
    """,
    # Those that somebody holds are few, and are looked for at each start.
    """
    CREATE INDEX tinyllm_actors_conversations_held ON tinyllm_actors_conversations (key) WHERE owner IS NOT NULL
    """,
    # Claim conversations and read them in one round trip. What is read is read by later statements than the one that
    # locks, as those see what was committed before it had its locks; and one by one, each by its index, whatever the
    # planner knows of the tables. A conversation is a row that says what it is, and one for each entry from its newest
    # snapshot on.
    """
    CREATE FUNCTION tinyllm_actors_take(keys text[], new_owner text) RETURNS TABLE (
        place integer, granted bigint, last bigint, snapshot bigint,
        sequence bigint, id text, kind text, version integer, at double precision, epoch bigint, owner text,
        checksum bigint, body bytea
    ) LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE
        held record;
    BEGIN
        INSERT INTO tinyllm_actors_conversations AS c (key, owner, epoch, updated)
        SELECT k, new_owner, nextval('tinyllm_actors_epochs'), extract(epoch FROM clock_timestamp())
        FROM unnest(keys) AS k ORDER BY k COLLATE "C"
        ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, epoch = nextval('tinyllm_actors_epochs'),
            updated = excluded.updated;
        FOR number IN 1..cardinality(keys) LOOP
            SELECT c.id, c.epoch, c.last, c.snapshot INTO held
            FROM tinyllm_actors_conversations c WHERE c.key = keys[number];
            RETURN QUERY SELECT number, held.epoch, held.last, held.snapshot, NULL::bigint, NULL, NULL, NULL::integer,
                NULL::double precision, NULL::bigint, NULL, NULL::bigint, NULL::bytea;
            RETURN QUERY SELECT number, NULL::bigint, NULL::bigint, NULL::bigint,
                e.sequence, e.id, e.kind, e.version, e.at, e.epoch, e.owner, e.checksum, e.body
            FROM tinyllm_actors_entries e WHERE e.conversation = held.id AND e.sequence >= held.snapshot
            ORDER BY e.sequence;
        END LOOP;
    END
    $$;
    """,
)
"""Each leads from one version to the next; they may be added to, never changed."""

_LOCK: Final = 7_316_594_820_165_331


async def migrate(
    connection: Connection,
    name: str,
    migrations: Sequence[str] = MIGRATIONS,
    versions: str = "tinyllm_actors_schema",
) -> None:
    """Bring the tables to the newest version; processes that start together do it one after the other.

    Args:
        connection: to the database.
        name: of the store, for errors.
        migrations: scripts that each lead from one version to the next.
        versions: the table that says which one this is.

    Raises:
        ConfigurationError: they have a newer version than this library knows.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(f"CREATE TABLE IF NOT EXISTS {versions} (version integer NOT NULL)")
        version: int = await connection.fetchval(f"SELECT coalesce(max(version), 0) FROM {versions}")
        if version > len(migrations):
            raise ConfigurationError(
                f"the tables of {name!r} have version {version}, this library knows {len(migrations)}; upgrade it"
            )
        for number, script in enumerate(migrations[version:], version + 1):
            await connection.execute(script)
            await connection.execute(f"INSERT INTO {versions} VALUES ($1)", number)
