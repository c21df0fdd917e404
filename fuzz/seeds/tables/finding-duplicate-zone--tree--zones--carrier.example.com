=== zone.example/zone.toml
# nothing
