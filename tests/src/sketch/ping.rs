//! `ping`: every node greets every other one, again and again. Nothing is decided: it measures the engine alone.

use phaselab_core::crypto::Member;
use phaselab_core::engine::{
    Context, Env, Input, MessageInfo, Never, Protocol, RuleSet, TimerInfo, To,
};
use phaselab_core::flaw::FlawSet;
use phaselab_core::store::{AnyTable, RecoverError, Rows, TableSpec};
use phaselab_core::types::{Duration, InstanceId, NodeId, Round};
use phaselab_core::view::{Glance, MessageKind, NodeView, Shape, Spec, ViewScope};
use serde::{Deserialize, Serialize};

/// A node that greets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ping {
    /// How many greetings it sent.
    pub sent: u64,
    /// How many it heard.
    pub heard: u64,
}

/// A greeting: of the size of a vote without its inner signature.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Greeting {
    /// About nothing, but as long as what real messages are about.
    pub instance: InstanceId,
    /// Which greeting of its sender.
    pub number: u64,
}

/// How often nodes greet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PingConfig {
    /// In virtual microseconds.
    pub every_us: u64,
}

impl Default for PingConfig {
    fn default() -> Self {
        PingConfig { every_us: 1_000 }
    }
}

static SPEC: Spec = Spec {
    name: "ping",
    title: "Everyone greets everyone",
    instances: &[],
    phases: &[],
    transitions: &[],
    messages: &[MessageKind {
        name: "greeting",
        shape: Shape::Sync,
    }],
    meters: &[],
    fields: &[],
    fault_model: "Nothing is promised.",
};

impl Protocol for Ping {
    type Message = Greeting;
    type Timer = ();
    type Request = Never;
    type Reply = Never;
    type Fact = Never;
    type Report = Never;
    type Config = PingConfig;

    const TAG: u8 = 200;
    const NAME: &'static str = "ping";
    const TABLES: &'static [TableSpec] = &[];

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn check_config(
        config: &PingConfig,
        _: &[Member],
        _: RuleSet,
        _: FlawSet,
    ) -> Result<(), String> {
        if config.every_us == 0 {
            return Err("every_us = 0: expected at least 1".into());
        }
        Ok(())
    }

    fn recover(_: &Env<Self>, _: &Rows) -> Result<Self, RecoverError> {
        Ok(Ping::default())
    }

    fn handle(&mut self, cx: &mut Context<'_, Self>, input: Input<Self>) {
        let pause = Duration::from_us(cx.env().config.every_us);
        match input {
            Input::Start => cx.set_timer((), pause),
            Input::Timeout(()) => {
                self.sent += 1;
                let (instance, number) = (InstanceId::default(), self.sent);
                cx.send(To::All, Greeting { instance, number });
                cx.set_timer((), pause);
            }
            Input::Message { message, .. } => self.heard += u64::from(message.number > 0),
            Input::Request { request, .. } => match request {},
            Input::Fact(fact) => match fact {},
        }
    }

    fn check(_: &Env<Self>, _: NodeId, _: &Greeting) -> Result<(), &'static str> {
        Ok(())
    }

    fn tables(&mut self, _: &mut dyn FnMut(&mut dyn AnyTable)) {}

    fn describe(message: &Greeting) -> MessageInfo {
        MessageInfo {
            kind: 0,
            instance: Some(message.instance),
            round: Round(0),
            value: None,
        }
    }

    fn timer_info(_: &()) -> TimerInfo {
        TimerInfo {
            name: "ping",
            instance: None,
            round: None,
        }
    }

    fn glance(&self) -> Glance {
        Glance {
            have: self.heard,
            ..Glance::default()
        }
    }

    fn view(&self, _: &Env<Self>, _: ViewScope) -> NodeView {
        NodeView::default()
    }
}
