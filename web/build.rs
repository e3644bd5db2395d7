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
        writeln!(table, "    ({:?}, include_bytes!({file:?})),", entry.name)?;
    }
    table.push_str("]\n");
    fs::write(Path::new(&folder).join("scenarios.rs"), table)?;
    Ok(())
}
