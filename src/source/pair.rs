//! Pairs what was declared before with what is declared after, by identity; survives moved files and renamed releases.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::same::says_the_same;
use crate::model::change::ChangeKind;
use crate::model::declaration::{Declaration, Form, Identity, Operation};

/// Groups larger than this are not compared one with all: only exact identities pair in them.
const MAX_COMPARED: usize = 200;

/// Two paths that share this part of their names (in percent of all parts) may be the same thing moved.
const MOVED_PATH_PERCENT: usize = 50;

/// One release before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Before; absent when added, or when there is no base.
    pub before: Option<Declaration>,
    /// After; absent when removed.
    pub after: Option<Declaration>,
    /// What happened.
    pub kind: ChangeKind,
}

/// Without a base: every declaration is only present.
#[must_use]
pub fn present(declarations: Vec<Declaration>) -> Vec<Pair> {
    declarations.into_iter().map(|after| Pair { before: None, after: Some(after), kind: ChangeKind::Present }).collect()
}

/// Pairs two states of a tree. The result is in the order of `after`, what was removed comes last in the order of `before`.
///
/// In this order: the same identity and operation (of several, equal content first, then in order); the same identity; the same form, namespace and name
/// elsewhere (a moved file: equal content, the only one, or the nearest path); the same form and file at the same position (a renamed release, moved
/// environment); and a renamed values file of equal content.
#[must_use]
pub fn pair(before: Vec<Declaration>, after: Vec<Declaration>) -> Vec<Pair> {
    let (before, after) = (in_environments_of(before.clone(), &after), in_environments_of(after, &before));
    let mut pairing = Pairing { partner: vec![None; after.len()], taken: vec![false; before.len()], before: &before, after: &after };
    pairing.by(|d| Some((d.identity.clone(), Some(d.operation))), Rest::InOrder);
    pairing.by(|d| is_state(d).then(|| (d.identity.clone(), None::<Operation>)), Rest::InOrder);
    pairing.by(|d| d.identity.name.is_some().then(|| elsewhere(d)), Rest::Nearest);
    pairing.by(|d| Some((d.identity.form, d.path.clone(), d.operation)), Rest::SamePosition);
    pairing.by(|d| d.identity.name.is_none().then(|| elsewhere(d)), Rest::Nearest);
    let partner = pairing.partner;
    finish(before, after, &partner)
}

/// A helmfile's release that no environment changes stands once. Where on the other side environments differ, it stands once for each of them, so that
/// each is compared with its own.
fn in_environments_of(declarations: Vec<Declaration>, other: &[Declaration]) -> Vec<Declaration> {
    let release = |d: &Declaration, scope: &str| (scope.to_owned(), d.identity.namespace.clone(), d.identity.name.clone());
    let mut scopes: BTreeMap<_, Vec<Arc<str>>> = BTreeMap::new();
    for d in other.iter().filter(|d| d.identity.form == Form::Helmfile) {
        if let Some((file, _)) = d.identity.scope.split_once('#') {
            scopes.entry(release(d, file)).or_default().push(d.identity.scope.clone());
        }
    }
    let mut all = Vec::with_capacity(declarations.len());
    for declaration in declarations {
        let is_for_all = declaration.identity.form == Form::Helmfile && !declaration.identity.scope.contains('#');
        match scopes.get(&release(&declaration, &declaration.identity.scope)).filter(|_| is_for_all) {
            Some(scopes) => all.extend(scopes.iter().map(|scope| {
                let mut declaration = declaration.clone();
                declaration.identity.scope = scope.clone();
                declaration
            })),
            None => all.push(declaration),
        }
    }
    all
}

fn finish(before: Vec<Declaration>, after: Vec<Declaration>, partner: &[Option<usize>]) -> Vec<Pair> {
    let mut before: Vec<Option<Declaration>> = before.into_iter().map(Some).collect();
    let mut pairs = Vec::with_capacity(after.len());
    for (after, partner) in after.into_iter().zip(partner) {
        let before = partner.and_then(|i| before.get_mut(i)).and_then(Option::take);
        let kind = match &before {
            None => ChangeKind::Added,
            Some(before) if says_the_same(before, &after) => ChangeKind::Unchanged,
            Some(_) => ChangeKind::Changed,
        };
        pairs.push(Pair { before, after: Some(after), kind });
    }
    pairs.extend(before.into_iter().flatten().map(|before| Pair { before: Some(before), after: None, kind: ChangeKind::Removed }));
    pairs
}

/// Whether it says what a release is to be (not a pull, a rollback, a script's call).
fn is_state(declaration: &Declaration) -> bool {
    matches!(declaration.operation, Operation::Declare | Operation::Install | Operation::Upgrade | Operation::UpgradeInstall | Operation::Template)
}

fn elsewhere(declaration: &Declaration) -> (Form, Option<Arc<str>>, Option<Arc<str>>, Operation) {
    let Identity { form, namespace, name, .. } = &declaration.identity;
    (*form, namespace.clone(), name.clone(), declaration.operation)
}

/// How those of one key pair that do not say the same.
#[derive(Clone, Copy, PartialEq)]
enum Rest {
    /// One after the other.
    InOrder,
    /// The only ones of both sides, else by the nearest path.
    Nearest,
    /// One after the other, if both sides have as many.
    SamePosition,
}

struct Pairing<'d> {
    before: &'d [Declaration],
    after: &'d [Declaration],
    /// For each after, its before.
    partner: Vec<Option<usize>>,
    /// For each before, whether it has a partner.
    taken: Vec<bool>,
}

impl Pairing<'_> {
    fn by<K: Ord>(&mut self, key: impl Fn(&Declaration) -> Option<K>, rest: Rest) {
        let mut groups: BTreeMap<K, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for (i, declaration) in self.before.iter().enumerate() {
            if self.taken.get(i) == Some(&false)
                && let Some(key) = key(declaration)
            {
                groups.entry(key).or_default().0.push(i);
            }
        }
        for (i, declaration) in self.after.iter().enumerate() {
            if self.partner.get(i) == Some(&None)
                && let Some(key) = key(declaration)
                && let Some(group) = groups.get_mut(&key)
            {
                group.1.push(i);
            }
        }
        for (before, after) in groups.into_values() {
            let (before, after) = if before.len().max(after.len()) > 1 { self.join_equal(before, after) } else { (before, after) };
            match rest {
                Rest::InOrder => before.iter().zip(&after).for_each(|(b, a)| self.join(*b, *a)),
                Rest::SamePosition if before.len() == after.len() => before.iter().zip(&after).for_each(|(b, a)| self.join(*b, *a)),
                Rest::SamePosition => {}
                Rest::Nearest => self.join_nearest(&before, &after),
            }
        }
    }

    fn join(&mut self, before: usize, after: usize) {
        if let (Some(taken), Some(partner)) = (self.taken.get_mut(before), self.partner.get_mut(after)) {
            *taken = true;
            *partner = Some(before);
        }
    }

    /// Joins those that say the same and gives back the others.
    fn join_equal(&mut self, before: Vec<usize>, mut after: Vec<usize>) -> (Vec<usize>, Vec<usize>) {
        if before.len().max(after.len()) > MAX_COMPARED {
            return (before, after);
        }
        let mut left = Vec::new();
        for b in before {
            let equal = after.iter().position(|a| match (self.before.get(b), self.after.get(*a)) {
                (Some(before), Some(after)) => says_the_same(before, after),
                _ => false,
            });
            match equal {
                Some(at) => {
                    let a = after.remove(at);
                    self.join(b, a);
                }
                None => left.push(b),
            }
        }
        (left, after)
    }

    /// Joins the only ones; of several, each with the one whose path is most like its own.
    fn join_nearest(&mut self, before: &[usize], after: &[usize]) {
        if let ([b], [a]) = (before, after) {
            let named = self.after.get(*a).is_some_and(|d| d.identity.name.is_some());
            if named || self.likeness(*b, *a) >= MOVED_PATH_PERCENT {
                self.join(*b, *a);
            }
            return;
        }
        if before.len().max(after.len()) > MAX_COMPARED {
            return;
        }
        let mut candidates: Vec<(usize, usize, usize)> = Vec::new();
        for b in before {
            for a in after {
                let likeness = self.likeness(*b, *a);
                if likeness >= MOVED_PATH_PERCENT {
                    candidates.push((likeness, *b, *a));
                }
            }
        }
        candidates.sort_by(|x, y| y.0.cmp(&x.0).then((x.1, x.2).cmp(&(y.1, y.2))));
        for (_, b, a) in candidates {
            if self.taken.get(b) == Some(&false) && self.partner.get(a) == Some(&None) {
                self.join(b, a);
            }
        }
    }

    /// How many parts two paths share, in percent of the parts of the longer.
    fn likeness(&self, before: usize, after: usize) -> usize {
        let (Some(before), Some(after)) = (self.before.get(before), self.after.get(after)) else {
            return 0;
        };
        let parts = |d: &Declaration| -> Vec<String> { format!("{}/{}", d.path, d.identity.scope).split('/').map(str::to_owned).collect() };
        let (mine, mut other) = (parts(before), parts(after));
        let all = mine.len().max(other.len());
        let mut shared = 0;
        for part in &mine {
            if let Some(at) = other.iter().position(|o| o == part) {
                other.swap_remove(at);
                shared += 1;
            }
        }
        shared * 100 / all.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::place::{Fact, Origin, Place};

    fn flux(path: &str, name: &str, content: &str) -> Declaration {
        let place = Place::file_start(&path.into());
        let mut declaration = Declaration::blank(Form::Flux, path.rsplit_once('/').map_or("", |(f, _)| f), place.clone());
        declaration.identity.name = Some(name.into());
        declaration.identity.namespace = Some("db".into());
        declaration.name = Fact::Known(name.into(), Origin::At(place.clone()));
        declaration.image = Fact::Known(content.into(), Origin::At(place));
        declaration
    }

    fn values(path: &str, content: &str) -> Declaration {
        let mut declaration = flux(path, "", content);
        declaration.identity = Identity { form: Form::Values, scope: path.into(), namespace: None, name: None };
        declaration.name = Fact::Absent;
        declaration
    }

    /// Before and after as `path>path:kind`.
    fn shown(before: Vec<Declaration>, after: Vec<Declaration>) -> Vec<String> {
        let path = |d: &Option<Declaration>| d.as_ref().map_or("-".to_owned(), |d| d.path.to_string());
        pair(before, after).iter().map(|p| format!("{}>{}:{:?}", path(&p.before), path(&p.after), p.kind)).collect()
    }

    #[test]
    fn equal_identities_pair_whatever_changed() {
        let all = shown(vec![flux("a/m.yaml", "m", "1"), flux("b/m.yaml", "m", "1")], vec![flux("a/m.yaml", "m", "1"), flux("b/m.yaml", "m", "2")]);
        assert_eq!(all, ["a/m.yaml>a/m.yaml:Unchanged", "b/m.yaml>b/m.yaml:Changed"]);
    }

    #[test]
    fn a_moved_file_pairs_where_it_is_the_only_one() {
        assert_eq!(shown(vec![flux("a/m.yaml", "m", "1")], vec![flux("x/y.yaml", "m", "2")]), ["a/m.yaml>x/y.yaml:Changed"]);
        assert_eq!(shown(vec![flux("a/m.yaml", "m", "1")], vec![flux("x/y.yaml", "m", "1")]), ["a/m.yaml>x/y.yaml:Unchanged"]);
    }

    #[test]
    fn a_moved_folder_pairs_environment_by_environment() {
        let before = vec![flux("clusters/dev/m.yaml", "m", "1"), flux("clusters/prod/m.yaml", "m", "1")];
        let after = vec![flux("k8s/clusters/prod/m.yaml", "m", "3"), flux("k8s/clusters/dev/m.yaml", "m", "2")];
        assert_eq!(shown(before, after), ["clusters/prod/m.yaml>k8s/clusters/prod/m.yaml:Changed", "clusters/dev/m.yaml>k8s/clusters/dev/m.yaml:Changed"]);
    }

    #[test]
    fn a_renamed_release_pairs_by_its_file() {
        assert_eq!(shown(vec![flux("a/m.yaml", "m", "1")], vec![flux("a/m.yaml", "vectors", "1")]), ["a/m.yaml>a/m.yaml:Changed"]);
    }

    #[test]
    fn an_added_environment_is_added_and_a_removed_one_removed() {
        let dev = flux("clusters/dev/m.yaml", "m", "1");
        assert_eq!(shown(vec![dev.clone()], vec![dev, flux("clusters/prod/m.yaml", "m", "1")])[1], "->clusters/prod/m.yaml:Added");
        assert_eq!(shown(vec![flux("a/m.yaml", "m", "1")], vec![]), ["a/m.yaml>-:Removed"]);
    }

    #[test]
    fn a_values_file_renamed_with_equal_content_pairs_and_another_one_does_not() {
        assert_eq!(shown(vec![values("a/x.yaml", "1")], vec![values("b/y.yaml", "1"), values("c/z.yaml", "2")])[0], "a/x.yaml>b/y.yaml:Unchanged");
        assert_eq!(shown(vec![values("a/x.yaml", "1")], vec![values("b/y.yaml", "2")]), ["->b/y.yaml:Added", "a/x.yaml>-:Removed"]);
        assert_eq!(
            shown(vec![values("deploy/milvus/x.yaml", "1")], vec![values("helm/deploy/milvus/x.yaml", "2")]),
            ["deploy/milvus/x.yaml>helm/deploy/milvus/x.yaml:Changed"]
        );
    }

    #[test]
    fn a_helmfile_whose_environments_part_or_join_is_compared_environment_by_environment() {
        let one = |scope: &str, content: &str| {
            let mut declaration = flux("helmfile.yaml", "m", content);
            declaration.identity.form = Form::Helmfile;
            declaration.identity.scope = scope.into();
            declaration
        };
        let (dev, prod, both) = (one("helmfile.yaml#dev", "2"), one("helmfile.yaml#prod", "1"), one("helmfile.yaml", "2"));
        let kinds = |before: Vec<Declaration>, after: Vec<Declaration>| pair(before, after).iter().map(|p| p.kind).collect::<Vec<_>>();
        assert_eq!(kinds(vec![dev.clone(), prod.clone()], vec![both.clone()]), [ChangeKind::Unchanged, ChangeKind::Changed]);
        assert_eq!(kinds(vec![both], vec![dev, prod]), [ChangeKind::Unchanged, ChangeKind::Changed]);
    }

    #[test]
    fn duplicates_pair_equal_ones_first_and_then_in_order() {
        let one = |content: &str| flux("a/run.sh", "m", content);
        let all = pair(vec![one("1"), one("2")], vec![one("0"), one("1"), one("3")]);
        let image = |d: &Option<Declaration>| d.as_ref().and_then(|d| d.image.known().cloned());
        let told: Vec<_> = all.iter().map(|p| (image(&p.before), image(&p.after))).collect();
        assert_eq!(told, [(Some("2".into()), Some("0".into())), (Some("1".into()), Some("1".into())), (None, Some("3".into()))]);
    }
}
