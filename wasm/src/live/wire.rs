//! What stands on the channels of a room: plain objects, so that any script can read along.

use js_sys::{Array, Object, Reflect, Uint8Array};
use phaselab_core::codec::MESSAGE_BYTES_MAX;
use phaselab_core::envelope::PACKET_BYTES_MAX;
use phaselab_core::types::{ClientId, NodeId};
use wasm_bindgen::prelude::*;
use web_sys::{BroadcastChannel, MessageEvent};

use super::room::channel_name;

/// A packet on its way, to these members or, if there are none, to all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Whom it is for.
    pub to: Vec<NodeId>,
    /// The sealed packet.
    pub bytes: Vec<u8>,
}

impl Packet {
    /// As it stands on the channel.
    pub fn to_js(&self) -> JsValue {
        object(&[
            ("to", &ids_to_js(&self.to)),
            ("bytes", &Uint8Array::from(self.bytes.as_slice())),
        ])
    }

    /// Reads what came; `Err` has the size of what is not a packet.
    ///
    /// # Errors
    /// The number of bytes, as far as that is known.
    pub fn from_js(data: &JsValue) -> Result<Packet, usize> {
        let size = |value: &JsValue| {
            value
                .dyn_ref::<Uint8Array>()
                .map_or(0, |bytes| bytes.length() as usize)
        };
        let (Some(to), bytes) = (ids_from_js(&field(data, "to")), field(data, "bytes")) else {
            return Err(size(data));
        };
        bytes_from_js(&bytes, PACKET_BYTES_MAX)
            .map(|bytes| Packet { to, bytes })
            .ok_or_else(|| size(&bytes))
    }
}

/// Between clients and nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFrame {
    /// A client asks these nodes, or all.
    Submit {
        /// Whom.
        to: Vec<NodeId>,
        /// Who asks.
        client: ClientId,
        /// As which of its requests.
        number: u64,
        /// The bytes of the protocol's `Request`.
        request: Vec<u8>,
    },
    /// A node answers.
    Reply {
        /// Which.
        from: NodeId,
        /// Whom.
        client: ClientId,
        /// To which of its requests.
        number: u64,
        /// The bytes of the protocol's `Reply`.
        reply: Vec<u8>,
    },
}

impl ClientFrame {
    /// As it stands on the channel.
    pub fn to_js(&self) -> JsValue {
        let number = |number: u64| JsValue::from_f64(number as f64);
        match self {
            ClientFrame::Submit {
                to,
                client,
                number: of,
                request,
            } => object(&[
                ("kind", &"submit".into()),
                ("to", &ids_to_js(to)),
                ("client", &number(client.0)),
                ("number", &number(*of)),
                ("bytes", &Uint8Array::from(request.as_slice())),
            ]),
            ClientFrame::Reply {
                from,
                client,
                number: of,
                reply,
            } => object(&[
                ("kind", &"reply".into()),
                ("node", &from.0.into()),
                ("client", &number(client.0)),
                ("number", &number(*of)),
                ("bytes", &Uint8Array::from(reply.as_slice())),
            ]),
        }
    }

    /// Reads what came; `None` if it is neither.
    pub fn from_js(data: &JsValue) -> Option<ClientFrame> {
        let client = ClientId(number_from_js(&field(data, "client"))?);
        let number = number_from_js(&field(data, "number"))?;
        let bytes = bytes_from_js(&field(data, "bytes"), MESSAGE_BYTES_MAX)?;
        match field(data, "kind").as_string()?.as_str() {
            "submit" => Some(ClientFrame::Submit {
                to: ids_from_js(&field(data, "to"))?,
                client,
                number,
                request: bytes,
            }),
            "reply" => Some(ClientFrame::Reply {
                from: id_from_js(&field(data, "node"))?,
                client,
                number,
                reply: bytes,
            }),
            _ => None,
        }
    }
}

/// Between nodes and the world outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainFrame {
    /// A node starts and wants the whole view.
    Hello(NodeId),
    /// A node reports; the number is its own.
    Report(NodeId, String, Vec<u8>),
    /// The report is saved.
    Taken(NodeId, String),
    /// A fact for a node.
    Fact(NodeId, Vec<u8>),
    /// The actor starts: reports that it never took are due again.
    Here,
}

impl ChainFrame {
    /// As it stands on the channel.
    pub fn to_js(&self) -> JsValue {
        let bytes = |bytes: &[u8]| JsValue::from(Uint8Array::from(bytes));
        let kind = |kind: &str| JsValue::from_str(kind);
        match self {
            ChainFrame::Hello(node) => {
                object(&[("kind", &kind("hello")), ("node", &node.0.into())])
            }
            ChainFrame::Report(node, number, report) => object(&[
                ("kind", &kind("report")),
                ("node", &node.0.into()),
                ("number", &number.into()),
                ("bytes", &bytes(report)),
            ]),
            ChainFrame::Taken(node, number) => object(&[
                ("kind", &kind("taken")),
                ("node", &node.0.into()),
                ("number", &number.into()),
            ]),
            ChainFrame::Fact(node, fact) => object(&[
                ("kind", &kind("fact")),
                ("node", &node.0.into()),
                ("bytes", &bytes(fact)),
            ]),
            ChainFrame::Here => object(&[("kind", &kind("here"))]),
        }
    }

    /// Reads what came; `None` if it is none of these.
    pub fn from_js(data: &JsValue) -> Option<ChainFrame> {
        let node = || id_from_js(&field(data, "node"));
        let number = || {
            field(data, "number")
                .as_string()
                .filter(|number| number.len() <= NUMBER_CHARS_MAX)
        };
        let bytes = || bytes_from_js(&field(data, "bytes"), FACT_BYTES_MAX);
        match field(data, "kind").as_string()?.as_str() {
            "hello" => Some(ChainFrame::Hello(node()?)),
            "report" => Some(ChainFrame::Report(node()?, number()?, bytes()?)),
            "taken" => Some(ChainFrame::Taken(node()?, number()?)),
            "fact" => Some(ChainFrame::Fact(node()?, bytes()?)),
            "here" => Some(ChainFrame::Here),
            _ => None,
        }
    }
}

/// The longest frame that tabs and threads tell each other in core's encoding.
pub const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX;

/// The longest number of a report.
const NUMBER_CHARS_MAX: usize = 32;

/// The longest report or fact: a whole chain view fits.
const FACT_BYTES_MAX: usize = 16 * MESSAGE_BYTES_MAX;

/// One end of a channel; closed when it is dropped.
pub struct Channel {
    inner: BroadcastChannel,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
}

impl Channel {
    /// Opens a room's channel and listens.
    ///
    /// # Errors
    /// The browser's message, where BroadcastChannel is missing.
    pub fn open(
        room: &str,
        part: Option<&str>,
        mut heard: impl FnMut(JsValue) + 'static,
    ) -> Result<Channel, String> {
        let inner =
            BroadcastChannel::new(&channel_name(room, part)).map_err(|error| message(&error))?;
        let on_message = Closure::new(move |event: MessageEvent| heard(event.data()));
        inner.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        Ok(Channel {
            inner,
            _on_message: on_message,
        })
    }

    /// Posts to every other end. A channel is best effort: what cannot be posted is lost, as on any network.
    pub fn post(&self, data: &JsValue) {
        let _lost = self.inner.post_message(data);
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.inner.set_onmessage(None);
        self.inner.close();
    }
}

/// The message of whatever JavaScript threw.
pub fn message(thrown: &JsValue) -> String {
    field(thrown, "message")
        .as_string()
        .filter(|text| !text.is_empty())
        .or_else(|| thrown.as_string())
        .unwrap_or_else(|| format!("{thrown:?}"))
}

/// A field of an object; `undefined` if there is no object or no field.
pub fn field(data: &JsValue, name: &str) -> JsValue {
    if !data.is_object() {
        return JsValue::UNDEFINED;
    }
    Reflect::get(data, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// A plain object with these fields.
pub fn object(fields: &[(&str, &JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // A fresh plain object takes every field.
        let _set = Reflect::set(&object, &(*name).into(), value);
    }
    object.into()
}

/// Bytes, if it is a `Uint8Array` of at most `max` bytes.
pub fn bytes_from_js(value: &JsValue, max: usize) -> Option<Vec<u8>> {
    let bytes = value.dyn_ref::<Uint8Array>()?;
    (bytes.length() as usize <= max).then(|| bytes.to_vec())
}

/// A whole number that a double holds exactly.
pub fn number_from_js(value: &JsValue) -> Option<u64> {
    let number = value.as_f64()?;
    ((0.0..=SAFE_INTEGER_MAX).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

/// JavaScript's `Number.MAX_SAFE_INTEGER`.
const SAFE_INTEGER_MAX: f64 = 9_007_199_254_740_991.0;

fn id_from_js(value: &JsValue) -> Option<NodeId> {
    number_from_js(value)
        .and_then(|id| u16::try_from(id).ok())
        .map(NodeId)
}

fn ids_from_js(value: &JsValue) -> Option<Vec<NodeId>> {
    let ids = value
        .dyn_ref::<Array>()
        .filter(|ids| ids.length() <= u32::from(super::room::NODES_MAX))?;
    ids.iter().map(|id| id_from_js(&id)).collect()
}

fn ids_to_js(ids: &[NodeId]) -> JsValue {
    ids.iter()
        .map(|id| JsValue::from(id.0))
        .collect::<Array>()
        .into()
}
