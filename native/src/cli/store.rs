//! `phaselab store`: what a node's store holds, without a node.
//!
//! A store is only looked at: nothing is repaired, nothing is written to it, and while it is looked at no node starts
//! with it. Its secret key is read to know whose store it is, and never shown.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use phaselab_core::crypto::{Crypto, Signer};
use phaselab_core::protocol;
use phaselab_core::replica::{Replica, last_incarnation};
use phaselab_core::store::{META, Rows};
use phaselab_core::types::{Hash32, NodeId, Time};
use phaselab_core::view::{InstanceView, ViewScope};
use serde::Serialize;

use crate::config::{NodeConfig, in_folder};
use crate::failure::{Failure, Outcome, io_words};
use crate::genesis::GenesisFile;
use crate::panics;
use crate::store::{SCHEMA, Store, StoreError, TableSize, create_private};
use crate::terminal::{Ink, Screen, print_json};

/// Options of `store`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 whole; 1 damaged; 2 not a store of this cluster, or in use."
)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Verify stores: every checksum, every row, and that a node comes back from them
    Check(CheckArgs),
    /// Print every row of a store but its secret key, and what the rows mean
    Export(ExportArgs),
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// A node's store, or the folder of a cluster
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
    /// The genesis of the store, if it is not the genesis.toml beside it
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// A node's store
    #[arg(value_name = "FILE")]
    path: PathBuf,
    /// The genesis of the store, if it is not the genesis.toml beside it
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    /// Write the JSON lines to a new file instead
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    out: Option<PathBuf>,
}

/// Looks at stores.
pub(crate) fn run(args: &StoreArgs) -> Outcome {
    match &args.command {
        StoreCommand::Check(args) => check(args),
        StoreCommand::Export(args) => export(args),
    }
}

/// What a store is, and what is in it.
#[derive(Debug, Serialize)]
struct Checked {
    store: PathBuf,
    /// What is wrong with it; `null` if nothing is.
    damage: Option<String>,
    /// `null` where damage hides it.
    found: Option<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    schema: u32,
    bytes: u64,
    member: NodeId,
    /// The genesis that it is bound to; `null` before its first start.
    genesis: Option<Hash32>,
    /// The last life that wrote to it; 0 before its first start.
    incarnation: u32,
    tables: Vec<TableSize>,
    instances: Vec<Instance>,
}

#[derive(Debug, Serialize)]
struct Instance {
    instance: String,
    phase: &'static str,
    round: u32,
    value: Option<Hash32>,
    signed: Option<Hash32>,
}

#[derive(Debug, Serialize)]
struct Report {
    stores: Vec<Checked>,
}

/// A store that was opened to look at it, and whose it is.
struct Opened {
    path: PathBuf,
    store: Store,
    genesis: GenesisFile,
    member: NodeId,
    bound: Option<Hash32>,
    rows: Rows,
}

fn check(args: &CheckArgs) -> Outcome {
    let mut stores = Vec::new();
    for (path, genesis) in places(&args.path, args.genesis.as_deref())? {
        let checked = match Opened::open(&path, genesis) {
            Ok(opened) => opened.check(),
            Err(Failure::Failed(damage)) => Checked {
                // The path stands beside it.
                damage: Some(without_path(&path, damage)),
                store: path,
                found: None,
            },
            Err(wrong) => return Err(wrong),
        };
        stores.push(checked);
    }
    let is_whole = stores.iter().all(|checked| checked.damage.is_none());
    if args.json {
        print_json(&Report { stores });
    } else {
        let mut screen = Screen::stdout();
        stores.iter().for_each(|checked| show(&mut screen, checked));
    }
    if is_whole {
        Ok(())
    } else {
        Err(Failure::Unexpected)
    }
}

/// The stores that a path names, each with its genesis.
fn places(path: &Path, genesis: Option<&Path>) -> Result<Vec<(PathBuf, GenesisFile)>, Failure> {
    if !path.is_dir() {
        let beside = path.with_file_name("genesis.toml");
        let genesis = genesis.unwrap_or(&beside);
        if !path.exists() {
            return Err(Failure::in_file(path, "no such file"));
        }
        if !genesis.exists() {
            let what = format!(
                "without its genesis it cannot be read: {} does not exist; --genesis names another",
                genesis.display()
            );
            return Err(Failure::in_file(path, what));
        }
        return Ok(vec![(path.to_owned(), GenesisFile::load(genesis)?)]);
    }
    let mut found = Vec::new();
    for config in in_folder(path)?.values() {
        let config = NodeConfig::load(config)?;
        let genesis = match genesis {
            Some(genesis) => GenesisFile::load(genesis)?,
            None => config.genesis,
        };
        found.push((config.store, genesis));
    }
    Ok(found)
}

impl Opened {
    /// Opens a store: `Failed` if it is damaged, `Input` if it is not a store of this genesis.
    fn open(path: &Path, genesis: GenesisFile) -> Result<Opened, Failure> {
        let told = |error: StoreError| match error.is_damage() {
            true => Failure::Failed(error.to_string()),
            false => Failure::Input(error.to_string()),
        };
        let store = Store::look(path, genesis.protocol).map_err(told)?;
        let bound = store.bound_to().map_err(told)?;
        if bound.is_some() {
            store.bind(&genesis.genesis.hash()).map_err(told)?;
        }
        let rows = store.rows().map_err(told)?;
        let key = signer(&store).map_err(told)?.public();
        let members = &genesis.genesis.members;
        let member = members.iter().find(|member| member.key == key);
        let member = member.map(|member| member.id).ok_or_else(|| {
            let genesis = genesis.path.display();
            Failure::in_file(path, format!("its key is of no member of {genesis}"))
        })?;
        Ok(Opened {
            path: path.to_owned(),
            store,
            genesis,
            member,
            bound,
            rows,
        })
    }

    /// The node that these rows give back.
    fn recover(&self) -> Result<Box<dyn Replica>, String> {
        let recovered = panics::caught(|| {
            let signer = signer(&self.store).map_err(|error| error.to_string())?;
            let genesis = &self.genesis.genesis;
            let replica = protocol::build(genesis, self.member, signer, &self.rows, [0; 32])
                .map_err(|error| error.to_string())?;
            replica.check_recovery(&self.rows)?;
            // Its first step asserts what must hold of any state; what it would send goes nowhere.
            let _ = replica.clone_box().start(Time::ZERO);
            Ok(replica)
        });
        recovered.unwrap_or_else(Err)
    }

    fn check(self) -> Checked {
        let (damage, instances) = match self.recover() {
            Err(damage) => (Some(damage), Vec::new()),
            Ok(replica) => {
                let instance = |view: InstanceView| Instance {
                    instance: view.name,
                    phase: replica.spec().phases[usize::from(view.phase)].name,
                    round: view.round.0,
                    value: view.value,
                    signed: view.signed,
                };
                let instances = replica.view(ViewScope::Summary).instances;
                (None, instances.into_iter().map(instance).collect())
            }
        };
        let tables = self.store.table_sizes();
        let bytes = std::fs::metadata(&self.path).map_or(0, |file| file.len());
        let found = tables.map(|tables| Found {
            schema: SCHEMA,
            bytes,
            member: self.member,
            genesis: self.bound,
            incarnation: last_incarnation(&self.rows).unwrap_or_default().0,
            tables,
            instances,
        });
        let unread = found.as_ref().err().map(ToString::to_string);
        Checked {
            store: self.path,
            damage: damage.or(unread),
            found: found.ok(),
        }
    }
}

fn signer(store: &Store) -> Result<Signer, StoreError> {
    let secret = store.secret()?;
    Ok(Signer::from_seed(Crypto::Ed25519, &secret))
}

fn without_path(path: &Path, text: String) -> String {
    let head = format!("{}: ", path.display());
    text.strip_prefix(&head).map(str::to_owned).unwrap_or(text)
}

fn show(screen: &mut Screen, checked: &Checked) {
    let path = checked.store.display();
    match &checked.damage {
        None => screen.entry("whole    ", Some(Ink::Good), &path.to_string()),
        Some(damage) => screen.entry("damaged  ", Some(Ink::Bad), &format!("{path}: {damage}")),
    }
    let Some(found) = &checked.found else { return };
    let bound = match found.genesis {
        Some(genesis) => format!("genesis {}, life {}", genesis.short(), found.incarnation),
        None => "not started yet".to_owned(),
    };
    let (member, schema, bytes) = (found.member.0, found.schema, found.bytes);
    screen.line(&format!(
        "  node {member}, {bound}, schema {schema}, {bytes} bytes"
    ));
    for TableSize { name, rows, bytes } in &found.tables {
        let rows = format!("{rows} row{}", if *rows == 1 { "" } else { "s" });
        screen.line(&format!("  {name:<20} {rows:>12} {bytes:>12} bytes"));
    }
    for instance in found.instances.iter().take(INSTANCES_SHOWN_MAX) {
        let signed = match instance.signed {
            Some(value) => format!(", signed {}", value.short()),
            None => String::new(),
        };
        screen.line(&format!(
            "  {}: {} in round {}{signed}",
            instance.instance, instance.phase, instance.round
        ));
    }
    let more = found.instances.len().saturating_sub(INSTANCES_SHOWN_MAX);
    if more > 0 {
        screen.line(&format!("  ... and {more} more; --json lists them"));
    }
}

/// More instances than these are counted.
const INSTANCES_SHOWN_MAX: usize = 8;

/// A line of an export.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    /// First: what store this is.
    Store {
        schema: u32,
        protocol: &'static str,
        member: NodeId,
        genesis: Option<Hash32>,
        incarnation: u32,
    },
    /// Then its rows, as bytes.
    Row {
        table: &'static str,
        key: String,
        value: String,
    },
    /// Then what they mean to a node.
    Instance(&'a InstanceView),
    /// Last, if they mean nothing.
    Damage(&'a str),
}

fn export(args: &ExportArgs) -> Outcome {
    if args.path.is_dir() {
        return Err(Failure::in_file(
            &args.path,
            "is a folder; expected a store",
        ));
    }
    let mut sink = Sink::of(args)?;
    let mut damage = None;
    for (path, genesis) in places(&args.path, args.genesis.as_deref())? {
        let opened = Opened::open(&path, genesis)?;
        sink.put(&Line::Store {
            schema: SCHEMA,
            protocol: opened.genesis.protocol.name(),
            member: opened.member,
            genesis: opened.bound,
            incarnation: last_incarnation(&opened.rows).unwrap_or_default().0,
        })?;
        let tables = opened.genesis.protocol.tables().iter();
        for (id, name) in tables
            .map(|spec| (spec.id, spec.name))
            .chain([(META, "meta")])
        {
            for (key, value) in opened.rows.table(id) {
                sink.put(&Line::Row {
                    table: name,
                    key: hex(key),
                    value: hex(value),
                })?;
            }
        }
        match opened.recover() {
            Ok(replica) => {
                for view in &replica.view(ViewScope::Full).instances {
                    sink.put(&Line::Instance(view))?;
                }
            }
            Err(what) => {
                sink.put(&Line::Damage(&what))?;
                damage = Some(format!("{}: {what}", path.display()));
            }
        }
    }
    sink.end()?;
    damage.map_or(Ok(()), |damage| Err(Failure::Failed(damage)))
}

/// Where an export goes.
enum Sink {
    People(Screen),
    Json,
    File(PathBuf, std::io::BufWriter<std::fs::File>, u64),
}

impl Sink {
    fn of(args: &ExportArgs) -> Result<Sink, Failure> {
        match &args.out {
            None if args.json => Ok(Sink::Json),
            None => Ok(Sink::People(Screen::stdout())),
            Some(path) => {
                let file = create_private(path)
                    .map_err(|error| Failure::in_file(path, io_words(&error)))?;
                Ok(Sink::File(path.clone(), std::io::BufWriter::new(file), 0))
            }
        }
    }

    fn put(&mut self, line: &Line<'_>) -> Outcome {
        match self {
            Sink::Json => print_json(line),
            Sink::File(path, file, lines) => {
                *lines += 1;
                serde_json::to_writer(&mut *file, line)
                    .map_err(std::io::Error::from)
                    .and_then(|()| file.write_all(b"\n"))
                    .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
            }
            Sink::People(screen) => match line {
                Line::Store {
                    protocol,
                    member,
                    genesis,
                    incarnation,
                    ..
                } => {
                    let genesis = genesis.map_or("no genesis yet".to_owned(), |genesis| {
                        format!("genesis {}", genesis.short())
                    });
                    screen.line(&format!(
                        "node {} of {protocol}, {genesis}, life {incarnation}",
                        member.0
                    ));
                }
                Line::Row { table, key, value } => {
                    screen.line(&format!("{table:<20} {key}  {value}"));
                }
                Line::Instance(view) => {
                    let signed = view
                        .signed
                        .map_or(String::new(), |value| format!(", signed {}", value.short()));
                    screen.line(&format!("{}: round {}{signed}", view.name, view.round.0));
                    for field in &view.fields {
                        screen.line(&format!("  {}: {}", field.name, field.text));
                    }
                }
                // Said as the command's failure.
                Line::Damage(_) => {}
            },
        }
        Ok(())
    }

    fn end(self) -> Outcome {
        if let Sink::File(path, mut file, lines) = self {
            file.flush()
                .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
            Screen::stdout().line(&format!("{}: {lines} lines", path.display()));
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
