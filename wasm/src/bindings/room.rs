//! Making a room, and the world outside of one.

use std::rc::Rc;

use js_sys::{Array, Function, Promise, Uint8Array};
use phaselab_core::protocol::ProtocolKind;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::convert::{self, error};
use super::scenarios::{protocol, system_entropy};
use crate::live::chain::Chain;
use crate::live::clock::Clock;
use crate::live::keeper::{Keeper, SaveFn};
use crate::live::room::{Room, decode_genesis, encode_genesis};
use crate::live::store::StoreError;
use crate::live::wire::{field, message, number_from_js, object};

/// What the nodes of a new room agree on before the first message, with fresh keys.
#[wasm_bindgen(js_name = createRoom, unchecked_return_type = "Room")]
pub fn create_room(
    #[wasm_bindgen(unchecked_param_type = "RoomOptions")] options: JsValue,
) -> Result<JsValue, JsError> {
    let kind: ProtocolKind = protocol(&convert::text(&options, "protocol")?)?;
    let nodes = number_from_js(&field(&options, "nodes"))
        .and_then(|nodes| u16::try_from(nodes).ok())
        .unwrap_or(0);
    let config = field(&options, "config").as_string();
    let config = config
        .map(|text| kind.parse_config("config", &text))
        .transpose()
        .map_err(error)?;
    // One draw that may fail; the rest follows from it.
    let seed = system_entropy()?;
    let mut drawn = 0;
    let mut entropy = || {
        drawn += 1;
        phaselab_core::crypto::Transcript::new("phaselab 2026-11 room entropy")
            .bytes(&seed)
            .u32(drawn)
            .finish()
            .0
    };
    let created_ms = js_sys::Date::now() as u64;
    let room =
        Room::create(kind, "room", nodes, config, created_ms, &mut entropy).map_err(error)?;
    let bytes = |bytes: &[u8]| JsValue::from(Uint8Array::from(bytes));
    let secrets: Array = room
        .secrets
        .iter()
        .map(|secret| bytes(&secret.to_bytes()))
        .collect();
    Ok(object(&[
        ("genesis", &bytes(&encode_genesis(&room.genesis))),
        ("genesisHash", &room.genesis.hash().to_string().into()),
        ("secrets", &secrets),
        ("createdMs", &(created_ms as f64).into()),
    ]))
}

/// The world outside of a room: one per room shows the nodes their view of the chain and takes what they sign.
#[wasm_bindgen]
pub struct LiveChain {
    keeper: Keeper,
}

#[wasm_bindgen]
impl LiveChain {
    /// Joins a room. With `save`, the state is the caller's to keep: it is called with each state and must resolve once
    /// the state is durable; `saved` gives it back.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "LiveChainOptions")] options: JsValue,
    ) -> Result<LiveChain, JsError> {
        let room = convert::text(&options, "room")?;
        let (genesis, _) = decode_genesis(&convert::bytes(&options, "genesis")?).map_err(error)?;
        let saved = match field(&options, "saved") {
            absent if absent.is_undefined() || absent.is_null() => None,
            _ => Some(convert::bytes(&options, "saved")?),
        };
        let chain = Chain::open(&genesis, saved.as_deref()).map_err(error)?;
        let clock = Clock::since(number_from_js(&field(&options, "createdMs")).unwrap_or(0));
        let save: SaveFn = match convert::function(&options, "save")? {
            Some(save) => save_with(save),
            None => Rc::new(|_| Box::pin(std::future::ready(Ok(())))),
        };
        let on_stop = convert::function(&options, "onStop")?;
        let stopped = move |why: StoreError| {
            if let Some(on_stop) = &on_stop {
                // A listener's exception is its own affair.
                let _thrown = on_stop.call1(&JsValue::UNDEFINED, &why.to_string().into());
            }
        };
        let keeper = Keeper::start(&room, chain, clock, save, Rc::new(stopped)).map_err(error)?;
        Ok(LiveChain { keeper })
    }

    /// Leaves the room.
    pub fn close(&self) {
        self.keeper.close();
    }
}

fn save_with(save: Function) -> SaveFn {
    Rc::new(move |state| {
        let called = save.call1(&JsValue::UNDEFINED, &Uint8Array::from(state.as_slice()));
        Box::pin(async move {
            let failed = |thrown: JsValue| StoreError::Failed(message(&thrown));
            let promise = called.map_err(failed)?;
            JsFuture::from(Promise::resolve(&promise))
                .await
                .map_err(failed)?;
            Ok(())
        })
    })
}
