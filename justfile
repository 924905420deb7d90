# Everything CI does is a command you can type.
ci:
    .ci/run

test:
    cargo test

# Rewrite snapshots after looking at what changed.
update:
    UPDATE=1 cargo test

bench:
    cargo bench

mock:
    cargo run -- mock

demo:
    cargo run -- check

# A real Slurm array of three shards through an S3 server, one of them killed and run again; as root.
nightly:
    deploy/try-slurm
