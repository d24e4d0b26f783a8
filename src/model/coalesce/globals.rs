//! What dependencies do to each other's globals.
//!
//! Helm's maps are references, and a table two levels below `global` is the same map in a chart and in its dependencies: what one dependency adds there shows
//! up in its parent and its siblings.

use std::sync::Arc;

use super::{GLOBAL, Loaded, set_table, table_at};
use crate::model::value::{Table, Value};

/// The tables two levels below `global` are one and the same in a chart and its dependency: takes over what the dependency made of them.
pub(super) fn share_globals(values: &mut Arc<Table>, inner: &Table) {
    let Some(made) = table_at(inner, GLOBAL) else {
        return;
    };
    copy_shared(values, made);
}

/// After the last dependency: every dependency sees the shared tables as they are in the end.
pub(super) fn hand_down_globals(chart: &Loaded<'_>, values: &mut Arc<Table>) {
    let Some(globals) = table_at(values, GLOBAL).cloned() else {
        return;
    };
    if !globals.entries.values().any(|entry| matches!(&entry.node.value, Value::Table(table) if table.entries.values().any(|e| e.node.table().is_some()))) {
        return;
    }
    for dependency in &chart.dependencies {
        let Some(mut inner) = table_at(values, &dependency.key).cloned() else {
            continue;
        };
        if copy_shared(&mut inner, &globals) {
            hand_down_globals(dependency, &mut inner);
            set_table(values, &dependency.key, inner);
        }
    }
}

/// Replaces each `global.K.S` that is a table on both sides by the one in `from`. Tells whether any differed.
fn copy_shared(values: &mut Arc<Table>, from: &Table) -> bool {
    let Some(globals) = table_at(values, GLOBAL) else {
        return false;
    };
    let mut changes: Vec<(Arc<str>, Arc<str>, Arc<Table>)> = Vec::new();
    for (key, entry) in &globals.entries {
        let (Value::Table(here), Some(there)) = (&entry.node.value, table_at(from, key)) else {
            continue;
        };
        for (name, entry) in &here.entries {
            if let (Value::Table(own), Some(other)) = (&entry.node.value, table_at(there, name))
                && !Arc::ptr_eq(own, other)
            {
                changes.push((Arc::clone(key), Arc::clone(name), Arc::clone(other)));
            }
        }
    }
    for (key, name, table) in &changes {
        let Some(Value::Table(globals)) = value_mut(Arc::make_mut(values), GLOBAL) else {
            continue;
        };
        if let Some(Value::Table(inner)) = value_mut(Arc::make_mut(globals), key)
            && let Some(slot) = value_mut(Arc::make_mut(inner), name)
        {
            *slot = Value::Table(Arc::clone(table));
        }
    }
    !changes.is_empty()
}

fn value_mut<'t>(table: &'t mut Table, key: &str) -> Option<&'t mut Value> {
    table.entries.get_mut(key).map(|entry| &mut entry.node.value)
}
