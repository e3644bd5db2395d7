//! Reads the scenarios that come with the core, so that the page need not carry a TOML parser for them.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use phaselab_core::{codec, scenario};

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo compiles this again whenever core, and with it a scenario, has changed.
    println!("cargo::rerun-if-changed=build.rs");
    let folder = env::var("OUT_DIR")?;
    let mut table = String::from("&[\n");
    for (index, entry) in scenario::builtin().iter().enumerate() {
        let encoded = codec::encode(&scenario::parse(entry.name, entry.text)?);
        let file = Path::new(&folder).join(format!("scenario-{index}"));
        fs::write(&file, encoded)?;
        // A program carries the scenarios of its protocols, and of the others the names.
        if is_built(entry.name) {
            writeln!(
                table,
                "    ({:?}, Some(include_bytes!({file:?}))),",
                entry.name
            )?;
        } else {
            writeln!(table, "    ({:?}, None),", entry.name)?;
        }
    }
    table.push_str("]\n");
    fs::write(Path::new(&folder).join("scenarios.rs"), table)?;
    Ok(())
}

/// Whether the protocol of a scenario is in the program that is built. Two-phase is in every one.
fn is_built(name: &str) -> bool {
    let protocol = name.split('/').next().unwrap_or_default();
    let feature = protocol.replace('-', "_").to_uppercase();
    protocol == "two-phase" || env::var_os(format!("CARGO_FEATURE_{feature}")).is_some()
}
