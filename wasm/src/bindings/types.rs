//! The shapes of plain objects, for TypeScript.

use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** A number of milliseconds since the run's start; virtual in a simulation. */
export type Milliseconds = number;
/** Sixty-four hex digits. */
export type Hash = string;
export type NodeNumber = number;

export interface SimulationOptions {
  /** Every draw follows from it. Default: the scenario's. */
  seed?: number | bigint;
}

export interface ScenarioSummary {
  /** What `new Simulation(name)` takes. */
  name: string;
  title: string;
  protocol: string;
  rules: "hardened" | "as-written";
  nodes: number;
  /** A string where it is larger than a number holds. */
  seed: number | string;
  until_ms: number;
  crypto: "ed25519" | "simulated";
  /** The scenario's TOML text. */
  source: string;
}

export interface Stepped { step: number; at_ms: Milliseconds; node: NodeNumber | null; }

export interface Glance {
  node: NodeNumber;
  alive: boolean;
  byzantine: boolean;
  phase: string;
  instance: Hash | null;
  round: number;
  value: Hash | null;
  have: number;
  need: number;
}

export type Shape = "propose" | "vote" | "lock" | "certificate" | "abort" | "sync";

/** A message on its way. */
export interface Flight {
  from: NodeNumber;
  to: NodeNumber;
  sent_ms: Milliseconds;
  arrives_ms: Milliseconds;
  kind: string;
  shape: Shape | null;
  instance: Hash | null;
  round: number;
  value: Hash | null;
  letter: string | null;
}

export interface SimulationEvent {
  /** With `index`, the event's id. */
  step: number;
  index: number;
  at_ms: Milliseconds;
  /** 0 for the network as a whole. */
  node: NodeNumber;
  kind: string;
  /** What happened, for people. */
  sentence: string;
  /** Whether it belongs into the story, or only into the full list. */
  told: boolean;
  instance: Hash | null;
  round: number;
  value: Hash | null;
  letter: string | null;
  peer: NodeNumber | null;
  have: number;
  need: number;
  total: number;
}

/** A protocol's shape. Numbers elsewhere are places in these lists. */
export interface Spec {
  name: string;
  title: string;
  instances: { name: string; parent: number | null }[];
  phases: { name: string; meaning: string; instance: number; terminal: boolean }[];
  transitions: [number, number][];
  messages: { name: string; shape: Shape }[];
  meters: { name: string; unit: string; messages: number[] }[];
  fault_model: string;
}

export interface Field { name: string; text: string; }

export interface Meter {
  kind: number;
  /** The round whose votes it counts. */
  round: number;
  value: Hash | null;
  have: number;
  need: number;
  total: number;
  segments: { node: NodeNumber; weight: number; vote: "awaiting" | "nil" | { for: Hash } }[];
}

export interface InstanceView {
  id: Hash;
  name: string;
  kind: number;
  phase: number;
  round: number;
  value: Hash | null;
  locked: [number, Hash] | null;
  signed: Hash | null;
  meters: Meter[];
  choices: { value: Hash; round: number; proposers: NodeNumber[]; amount: number; detail: string }[];
  fields: Field[];
}

export interface NodeView { instances: InstanceView[]; fields: Field[]; shard?: ShardView; }

/** A ballot: its round, and who leads by it; node 0 is nobody. */
export interface Ballot { round: number; node: NodeNumber; }

/** What a node keeps for its group, where the protocol has groups: the end of its log, its accounts, its side of transfers. */
export interface ShardView {
  group: number;
  ballot: Ballot;
  leads: boolean;
  /** The last slot that is executed here. */
  executed: number;
  /** How many slots came before those that are listed. */
  older: number;
  slots: {
    slot: number;
    ballot: Ballot;
    standing: 'accepted' | 'chosen' | 'executed';
    marker: 'prepare' | 'commit' | 'abort' | 'transfer' | 'acknowledged' | 'noop';
    /** The label that it carries again: the slot of the transaction's P. */
    seq: number | null;
    transfer: Hash | null;
    decides: boolean | null;
    other: number | null;
    text: string;
  }[];
  accounts: { item: number; balance: number | null; hold: { transfer: Hash; name: string; amount: number; comes: boolean } | null }[];
  /** How many accounts are not listed. */
  more: number;
  /** What all accounts hold here, and what those that began here held then. */
  sum: number;
  first: number;
  sides: { transfer: Hash; decides: boolean; other: number; seq: number; reason: string; commits: boolean }[];
}

/** Why an instance ended at a node, or whom it lacks there. */
export interface Why {
  node: NodeNumber;
  /** Its name. */
  instance: string;
  id: Hash;
  ended: boolean;
  /** The answer in a sentence. */
  summary: string;
  /** The causal cone of the end, in order; the end is the last. */
  lines: {
    step: number;
    /** With `step`, the event's id; `null` for what a node was told. */
    index: number | null;
    at_ms: number;
    node: NodeNumber;
    kind: string;
    sentence: string;
    /** The lines that it rests on, from 0. */
    because: number[];
  }[];
  /** The quorums that are not reached. */
  lacks: {
    meter: string;
    round: number;
    have: number;
    need: number;
    sentence: string;
    missing: {
      node: NodeNumber;
      why: "crashed" | "in-flight" | "lost" | "not-counted" | "not-sent" | "other" | "silent" | "ended" | "not-known";
      step: number | null;
      sentence: string;
    }[];
  }[];
  /** What is missing from the answer. */
  note: string | null;
}

/** What `phaselab sim --json` prints; with `--why` also a `Why`, as `why`. */
export interface Report {
  scenario: string;
  protocol: string;
  rules: string;
  flaws: string[];
  crypto: string;
  seed: number;
  end_ms: number;
  steps: number;
  events: number;
  delivered: number;
  trace_hash: Hash;
  nodes: {
    id: NodeNumber;
    alive: boolean;
    byzantine: boolean;
    instances: { instance: string; phase: string; round: number }[];
  }[];
  decisions: {
    instance: string;
    value: Hash;
    label: string | null;
    nodes: NodeNumber[];
    first_ms: number;
    last_ms: number;
  }[];
  abandoned: { instance: string; nodes: NodeNumber[]; first_ms: number }[];
  invariants: { name: string; holds: boolean; detail: string }[];
  expectations: { text: string; met: boolean }[];
  metrics: Record<string, number>;
  faults: Record<string, number>;
}

export interface RoomOptions {
  protocol: string;
  /** 1 to 16. */
  nodes: number;
  /** The body of a scenario's `[config]` section. Default: the protocol's defaults. */
  config?: string;
}

export interface Room {
  genesis: Uint8Array;
  genesisHash: Hash;
  /** Each node's key, in order. Give a node its own and no other. */
  secrets: Uint8Array[];
  /** When the room was made, since 1970: the start of its clock. */
  createdMs: number;
}

/** One change to a row; `null` deletes it. */
export interface RowWrite { table: number; key: Uint8Array; value: Uint8Array | null; }

export interface LiveNodeOptions {
  room: string;
  genesis: Uint8Array;
  node: NodeNumber;
  secret: Uint8Array;
  createdMs?: number;
  /** What the store holds. Default: nothing, a new node. */
  rows?: Iterable<[table: number, key: Uint8Array, value: Uint8Array]>;
  /**
   * Makes a batch durable, all of it or nothing, and resolves then; nothing leaves the node before. It must reject when
   * a later incarnation of the same node has written.
   */
  commit?: (writes: RowWrite[], incarnation: number) => Promise<void> | void;
  onEvent?: (event: SimulationEvent) => void;
  /** The store failed, and the node left the room. */
  onStop?: (why: string) => void;
}

export interface Reply {
  outcome: "accepted" | "decided" | "abandoned" | "refused" | "in-progress";
  value: Hash | null;
  /** How many members the proof names. */
  certificate: number;
  last: boolean;
  text: string;
}

export interface LiveChainOptions {
  room: string;
  genesis: Uint8Array;
  createdMs?: number;
  saved?: Uint8Array;
  /** Makes the state durable and resolves then. */
  save?: (state: Uint8Array) => Promise<void> | void;
  onStop?: (why: string) => void;
}

/** What a run can be written as. */
export type ExportFormat = "svg" | "itf" | "shiviz" | "perfetto" | "toml" | "trace" | "jepsen-edn" | "jepsen-json";

/** How much of a cluster's behaviour is searched. */
export interface CheckerBounds {
  /** Timers of this round and later ones do not fire. Default: the protocol's; 2 for two-phase. */
  rounds?: number;
  /** How often timers of rounds fire, all together. Default: the protocol's; as often as they can for two-phase. */
  timeouts?: number;
  /** How often nodes crash, all together. Default: the protocol's; 1 for two-phase. */
  crashes?: number;
  /** How often timers of no round fire, all together. Default: 0. */
  housekeeping?: number;
  /** How often a node is asked again what it was asked before, all together. Default: 0. */
  repeats?: number;
  /** Requests may arrive after messages did. Default: every node is asked at the very start. */
  lateRequests?: boolean;
  /** A node goes on hearing of what it decided. Default: a decided instance is at rest there. */
  beyondDecisions?: boolean;
  /** A message arrives at most once at a node. Default: the protocol's; again and again for two-phase. */
  once?: boolean;
  /** The search ends at so many distinct states. */
  maxStates?: number;
}

export interface CheckerOptions {
  /** Which flaws are restored, such as `["S0-F1"]`. Default: the scenario's. */
  flaws?: string[];
  /** Default: the scenario's. */
  seed?: number | bigint;
  /** A model from the textbook instead of a scenario. */
  model?: "tcommit" | "two-phase-commit" | "paxos" | "paxos-commit" | "broken-commit" | "multi-paxos" | "multi-paxos-crash";
  /** The model's size. Default: 3. */
  size?: number;
}

export interface CheckerProgress {
  distinct: number;
  /** States generated, those found again included. */
  generated: number;
  /** The deepest layer; the initial states are layer 1. */
  depth: number;
  /** States found and not yet expanded. */
  frontier: number;
  /** Whether there is nothing left to do. */
  over: boolean;
}

export interface CheckerOutcome {
  distinct: number;
  generated: number;
  depth: number;
  /** Whether every state within the bounds was visited. */
  complete: boolean;
  violation: {
    invariant: string;
    /** What happens, in words. */
    trace: string[];
    steps: number;
    /** For what never happens: after so many steps the rest repeats for ever. */
    cycle: number | null;
    /** The counterexample as a scenario's TOML, for models that the simulator can run too. */
    scenario: string | null;
  } | null;
}

/** A flaw of a source document, and a schedule that shows it. */
export interface Exhibit {
  id: string;
  protocol: string;
  /** What goes wrong, in one sentence. */
  story: string;
  /** The promise that it breaks. */
  invariant: string;
  /** The rule that stops it. */
  rule: string;
  /** What the literature calls it. */
  term: string;
  /** The counterexample's TOML text, with the flaw restored. */
  scenario: string;
  /** What it makes happen, in order. */
  schedule: { at_ms: Milliseconds; text: string }[];
  /** Why hardened rules refuse the configuration, if they do. */
  refused: string | null;
}
"#;
