-- How often publishers could come in: what the probe of the RTMP door found, by hours, for the last 30 days.
create table rtmp_uptime (
    -- When it began.
    hour timestamptz primary key,
    probes integer not null,
    -- Of these, how many found the door open.
    up integer not null constraint rtmp_uptime_not_over check (up between 0 and probes)
);

-- Which replica probes. It is another's turn once the lease is over.
create table rtmp_prober (
    only_row boolean primary key default true check (only_row),
    replica uuid not null,
    leased_until timestamptz not null,
    -- What it found last; null before it has.
    up boolean,
    probed_at timestamptz
);
