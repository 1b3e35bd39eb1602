//! The state machine alone: bounds, order, and that index and payloads agree whatever is done.

use super::*;
use crate::account::nodes::config::tests::form;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn item<'a>(id: &'a str, payload: &'a str) -> NewItem<'a> {
    NewItem { id, payload, now_unix_ms: 1 }
}

fn many() -> Config {
    Config { items_max: 3, ..Config::default() }
}

fn ids(node: &Node) -> Vec<&str> {
    node.items.iter().map(|item| &*item.id).collect()
}

#[test]
fn one_item_by_default_and_it_is_the_newest() {
    let mut nodes = Nodes::default();
    assert_eq!(nodes.publish("n", item("1", "<a/>"), None, Config::default()), Ok(vec![]));
    let writes = nodes.publish("n", item("2", "<b/>"), None, Config::default()).unwrap();
    assert_eq!(writes, [forget("n", "1".into())]);
    let node = nodes.get("n").unwrap();
    assert_eq!((ids(node), node.inline.as_deref()), (vec!["2"], Some("<b/>")));
}

#[test]
fn what_was_newest_moves_out_of_the_index() {
    let mut nodes = Nodes::default();
    nodes.publish("n", item("1", "<a/>"), None, many()).unwrap();
    let writes = nodes.publish("n", item("2", "<b/>"), None, many()).unwrap();
    assert_eq!(writes, [Write { node: "n".into(), item: "1".into(), payload: Some("<a/>".into()) }]);
    nodes.publish("n", item("1", "<c/>"), None, many()).unwrap();
    assert_eq!(ids(nodes.get("n").unwrap()), ["2", "1"], "published again is newest");
}

#[test]
fn options_configure_a_new_node_and_are_preconditions_of_an_old_one() {
    let mut nodes = Nodes::default();
    let open = form(&[("access_model", "open")]);
    nodes.publish("n", item("1", "<a/>"), Some(&open), Config::default()).unwrap();
    nodes.publish("n", item("1", "<a/>"), Some(&open), Config::default()).unwrap();
    let whitelist = form(&[("access_model", "whitelist")]);
    let refused = nodes.publish("n", item("1", "<b/>"), Some(&whitelist), Config::default());
    assert_eq!(refused, Err(Refused::Precondition));
    nodes.configure("n", &whitelist).unwrap();
    nodes.publish("n", item("1", "<b/>"), Some(&whitelist), Config::default()).unwrap();
}

#[test]
fn what_is_not_kept_is_not_kept() {
    let mut nodes = Nodes::default();
    let options = form(&[("persist_items", "0")]);
    assert_eq!(nodes.publish("n", item("1", "<a/>"), Some(&options), Config::default()), Ok(vec![]));
    assert!(nodes.get("n").unwrap().items.is_empty());
}

#[test]
fn every_bound_holds() {
    let mut nodes = Nodes::default();
    let long = "x".repeat(PAYLOAD_BYTES_MAX + 1);
    assert_eq!(nodes.publish("n", item("1", &long), None, many()), Err(Refused::TooBig));
    assert_eq!(nodes.publish("n", item("", "<a/>"), None, many()), Err(Refused::Name));
    assert_eq!(nodes.create(&"n".repeat(NAME_BYTES_MAX + 1), many(), None), Err(Refused::Name));
    for number in 0..NODES_MAX {
        nodes.create(&number.to_string(), many(), None).unwrap();
    }
    assert_eq!(nodes.create("one more", many(), None), Err(Refused::TooManyNodes));
    assert_eq!(nodes.create("0", many(), None), Err(Refused::Exists));
    for number in 0..SUBSCRIBERS_MAX {
        assert_eq!(nodes.subscribe("0", &number.to_string()), Ok(true));
        assert_eq!(nodes.subscribe("0", &number.to_string()), Ok(false));
    }
    assert_eq!(nodes.subscribe("0", "one more"), Err(Refused::TooManySubscribers));
}

#[test]
fn an_account_has_so_many_bytes_and_no_more() {
    let large = "x".repeat(PAYLOAD_BYTES_MAX);
    let mut nodes = Nodes::default();
    let fit = ACCOUNT_BYTES_MAX / PAYLOAD_BYTES_MAX;
    for number in 0..fit {
        nodes.publish(&number.to_string(), item("1", &large), None, many()).unwrap();
    }
    assert_eq!(nodes.clone().publish("m", item("1", &large), None, many()), Err(Refused::Full));
    let small = "x".repeat(INLINE_BYTES_MAX);
    let mut nodes = Nodes::default();
    let full =
        (0..NODES_MAX).find_map(|n| nodes.publish(&n.to_string(), item("1", &small), None, many()).err());
    assert_eq!(full, Some(Refused::Full), "the index is bounded, too");
}

#[test]
fn removals() {
    let mut nodes = Nodes::default();
    for id in ["1", "2", "3"] {
        nodes.publish("n", item(id, "<a/>"), None, many()).unwrap();
    }
    assert_eq!(nodes.retract("n", &["3", "nothing"]), Ok(vec![forget("n", "3".into())]));
    assert_eq!(nodes.get("n").unwrap().inline, None);
    assert_eq!(nodes.retract("n", &["3"]), Err(Refused::NoItem));
    assert_eq!(nodes.purge("n").unwrap().len(), 2);
    assert_eq!(nodes.delete("n"), Ok(vec![]));
    assert_eq!(nodes.delete("n"), Err(Refused::NoNode));
}

#[derive(Debug, Clone)]
enum Step {
    Publish(u8, u8, bool),
    Retract(u8, u8),
    Purge(u8),
    Delete(u8),
    Configure(u8, u8, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3u8, 0..5u8, any::<bool>()).prop_map(|(node, id, long)| Step::Publish(node, id, long)),
        2 => (0..3u8, 0..5u8).prop_map(|(node, id)| Step::Retract(node, id)),
        1 => (0..3u8).prop_map(Step::Purge),
        1 => (0..3u8).prop_map(Step::Delete),
        2 => (0..3u8, 1..5u8, any::<bool>()).prop_map(|(node, most, keep)| Step::Configure(node, most, keep)),
    ]
}

/// The payloads as the store would have them, and what each node should hold, newest last.
#[derive(Default)]
struct Model {
    stored: BTreeMap<(String, String), String>,
    nodes: BTreeMap<String, (Vec<(String, String)>, usize)>,
}

impl Model {
    fn write(&mut self, writes: Vec<Write>) {
        for write in writes {
            let key = (write.node.to_string(), write.item.to_string());
            match write.payload {
                Some(payload) => _ = self.stored.insert(key, payload.into()),
                None => _ = self.stored.remove(&key),
            }
        }
    }

    fn check(&self, nodes: &Nodes) {
        assert_eq!(
            nodes.iter().map(|node| &*node.name).collect::<Vec<_>>(),
            self.nodes.keys().collect::<Vec<_>>()
        );
        let mut in_store = 0;
        for node in nodes.iter() {
            let (expected, _) = &self.nodes[&*node.name];
            let payload = |item: &Item| match item.stored {
                true => self.stored[&(node.name.to_string(), item.id.to_string())].clone(),
                false => node.inline.clone().expect("it is in one of the two").into(),
            };
            let found: Vec<_> = node.items.iter().map(|item| (item.id.to_string(), payload(item))).collect();
            assert_eq!(found, *expected);
            in_store += node.items.iter().filter(|item| item.stored).count();
        }
        assert_eq!(in_store, self.stored.len(), "nothing is left behind");
    }
}

proptest! {
    #[test]
    fn index_and_payloads_agree(steps in proptest::collection::vec(step(), 1..60)) {
        let (mut nodes, mut model) = (Nodes::default(), Model::default());
        for (count, step) in steps.into_iter().enumerate() {
            let before = nodes.clone();
            let result = match &step {
                Step::Publish(node, id, long) => {
                    let payload = format!("{count}{}", "x".repeat(if *long { INLINE_BYTES_MAX } else { 0 }));
                    let (node, id) = (node.to_string(), id.to_string());
                    let entry = model.nodes.entry(node.clone()).or_insert((Vec::new(), 3));
                    entry.0.retain(|(known, _)| *known != id);
                    entry.0.push((id.clone(), payload.clone()));
                    let surplus = entry.0.len().saturating_sub(entry.1);
                    entry.0.drain(..surplus);
                    nodes.publish(&node, item(&id, &payload), None, many())
                }
                Step::Retract(node, id) => {
                    if let Some((items, _)) = model.nodes.get_mut(&node.to_string()) {
                        items.retain(|(known, _)| *known != id.to_string());
                    }
                    nodes.retract(&node.to_string(), &[&id.to_string()])
                }
                Step::Purge(node) => {
                    if let Some((items, _)) = model.nodes.get_mut(&node.to_string()) {
                        items.clear();
                    }
                    nodes.purge(&node.to_string())
                }
                Step::Delete(node) => {
                    model.nodes.remove(&node.to_string());
                    nodes.delete(&node.to_string())
                }
                Step::Configure(node, most, keep) => {
                    if let Some((items, bound)) = model.nodes.get_mut(&node.to_string()) {
                        *bound = if *keep { usize::from(*most) } else { 0 };
                        let surplus = items.len().saturating_sub(*bound);
                        items.drain(..surplus);
                    }
                    let fields = [("max_items", most.to_string()), ("persist_items", u8::from(*keep).to_string())];
                    let fields: Vec<_> = fields.iter().map(|(var, value)| (*var, &**value)).collect();
                    nodes.configure(&node.to_string(), &form(&fields))
                }
            };
            match result {
                Ok(writes) => model.write(writes),
                Err(_) => prop_assert_eq!(&nodes, &before, "what is refused changes nothing"),
            }
            model.check(&nodes);
            if let Some(document) = nodes.to_document() {
                prop_assert_eq!(&Nodes::from_document(&document).unwrap(), &nodes);
            }
        }
    }
}
