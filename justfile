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
