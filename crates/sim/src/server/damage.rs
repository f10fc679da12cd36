//! Damage to what an answer says: status, headers and body. Damage to HTTP itself is done in
//! [`delivery`](super::delivery).

use super::dispatch::Errand;
use super::faults::{Action, Copied};
use super::replies::{Reply, typed_reply};
use super::state::Simulator;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest, Md5};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const PAGE: &str = "<!DOCTYPE html><html><head><title>Bad gateway</title></head><body><h1>Our services aren't available right now</h1></body></html>";

/// Damages a reply; one that the fault does not fit stays as it is.
pub(super) fn damage(
    simulator: &Simulator,
    errand: &Errand,
    action: &Action,
    mut reply: Reply,
) -> Reply {
    match action {
        Action::Reply { .. } => return replacement(simulator, errand, action),
        Action::Html { status, .. } => return typed_reply(*status, "text/html", PAGE),
        Action::Headers { count, bytes } => add_headers(&mut reply, *count, *bytes),
        Action::NoLocation => reply.remove_header("location"),
        Action::RelativeLocation => change_location(simulator, &mut reply, "{path}"),
        Action::Location { text } => change_location(simulator, &mut reply, text),
        Action::Status { value } => change_json(&mut reply, |body| set_status(body, value)),
        Action::OverstateBytes { by } => change_json(&mut reply, |body| overstate_bytes(body, *by)),
        Action::Edit { set, copy, remove } => {
            change_json(&mut reply, |body| edit(simulator, body, set, copy, remove));
        }
        Action::Body { raw, repeat, keep, bytes } => {
            change_body(&mut reply, raw.as_deref(), *repeat, *keep, *bytes);
        }
        Action::Gzip { encoding, .. } => pack(&mut reply, action, encoding.as_deref()),
        Action::Flip { byte, md5 } => {
            if *md5 {
                add_md5(&mut reply);
            }
            flip(&mut reply, *byte);
        }
        Action::Md5 => add_md5(&mut reply),
        _ => {}
    }
    reply
}

fn replacement(simulator: &Simulator, errand: &Errand, action: &Action) -> Reply {
    let Action::Reply { status, headers, body, .. } = action else {
        return typed_reply(500, "", Bytes::new());
    };
    let mut reply = typed_reply(*status, "application/json; charset=utf-8", body.clone());
    for (name, texts) in headers {
        reply.remove_header(name);
        for text in texts.values() {
            let value =
                text.replace("{origin}", &simulator.origin).replace("{path}", &errand.call.target);
            reply.headers.push((name.clone(), value));
        }
    }
    reply
}

fn add_headers(reply: &mut Reply, count: usize, bytes: usize) {
    let value = "p".repeat(bytes);
    let padding = (0..count).map(|number| (format!("x-padding-{number}"), value.clone()));
    reply.headers.extend(padding);
}

fn change_location(simulator: &Simulator, reply: &mut Reply, text: &str) {
    if let Some(right) = reply.header("location").map(str::to_owned) {
        reply.set_header("location", &filled(simulator, text, &right));
    }
}

/// Puts the origin of the simulator, a value, and the path and query of that value in their places.
fn filled(simulator: &Simulator, text: &str, value: &str) -> String {
    let path = value.strip_prefix(&simulator.origin).unwrap_or(value);
    text.replace("{origin}", &simulator.origin).replace("{path}", path).replace("{value}", value)
}

fn change_json(reply: &mut Reply, change: impl FnOnce(&mut Value)) {
    if let Ok(mut body) = serde_json::from_slice(&reply.body) {
        change(&mut body);
        reply.body = body.to_string().into();
    }
}

fn set_status(body: &mut Value, status: &Option<String>) {
    let Value::Object(fields) = body else {
        return;
    };
    match status {
        Some(text) if fields.contains_key("status") => {
            fields.insert("status".to_owned(), json!(text));
        }
        Some(_) => {}
        None => drop(fields.remove("status")),
    }
}

fn overstate_bytes(body: &mut Value, by: u64) {
    for pointer in ["/manifest/byteCount", "/manifest/blobs/0/byteCount"] {
        if let Some(count) = body.pointer_mut(pointer) {
            *count = json!(count.as_u64().unwrap_or_default() + by);
        }
    }
}

fn edit(
    simulator: &Simulator,
    body: &mut Value,
    set: &BTreeMap<String, Value>,
    copy: &[Copied],
    remove: &[String],
) {
    for (pointer, value) in set {
        let before = body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let value = match value {
            Value::String(text) => json!(filled(simulator, text, &before)),
            other => other.clone(),
        };
        put(body, pointer, value);
    }
    for Copied { from, to, times } in copy {
        for _ in 0..*times {
            if let Some(value) = body.pointer(from).cloned() {
                put(body, to, value);
            }
        }
    }
    for pointer in remove {
        take_away(body, pointer);
    }
}

/// Sets a value; in a list, `-` is the place behind the last.
fn put(body: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = body.pointer_mut(pointer) {
        *place = value;
        return;
    }
    let Some((parent, name)) = pointer.rsplit_once('/') else {
        return;
    };
    match body.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.insert(unescaped(name), value)),
        Some(Value::Array(list)) if name == "-" => list.push(value),
        _ => {}
    }
}

fn take_away(body: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else {
        return;
    };
    match body.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.remove(&unescaped(name))),
        Some(Value::Array(list)) => {
            if let Some(place) = name.parse().ok().filter(|place| *place < list.len()) {
                drop(list.remove(place));
            }
        }
        _ => {}
    }
}

/// As JSON pointers write names (RFC 6901).
fn unescaped(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}

fn change_body(
    reply: &mut Reply,
    raw: Option<&str>,
    repeat: usize,
    keep: bool,
    bytes: Option<usize>,
) {
    let mut body = match raw {
        Some(text) => text.repeat(repeat).into_bytes(),
        None => Vec::new(),
    };
    if keep || raw.is_none() {
        body.extend_from_slice(&reply.body);
    }
    body.truncate(bytes.unwrap_or(usize::MAX));
    replace_body(reply, body);
}

fn pack(reply: &mut Reply, action: &Action, encoding: Option<&str>) {
    if let Some(packing) = action.packing() {
        let packed = packing.pack(&reply.body);
        replace_body(reply, packed);
    }
    if let Some(encoding) = encoding {
        reply.set_header("content-encoding", encoding);
    }
}

/// A body that is not a blob's own does not count as the end of that blob.
fn replace_body(reply: &mut Reply, body: Vec<u8>) {
    reply.body = body.into();
    if let Some(part) = &mut reply.part {
        part.reaches_end = false;
    }
}

fn add_md5(reply: &mut Reply) {
    let digest = STANDARD.encode(Md5::digest(&reply.body));
    reply.set_header("content-md5", &digest);
}

fn flip(reply: &mut Reply, byte: usize) {
    let mut body = reply.body.to_vec();
    if let Some(wrong) = body.get_mut(byte) {
        *wrong ^= 1;
        reply.body = body.into();
    }
}
