//! Pairs what was declared before with what is declared after, by identity; survives moved files and renamed releases. What is in doubt is not paired, and says so.

mod moved;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::same::says_the_same;
use crate::model::change::ChangeKind;
use crate::model::declaration::{Declaration, FlagKind, Form, Identity, NotChecked, NotCheckedKind, Operation};

/// Groups larger than this are not compared one with all: only exact identities pair in them.
const MAX_COMPARED: usize = 200;

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
pub fn present(declarations: Vec<Declaration>) -> impl Iterator<Item = Pair> {
    declarations.into_iter().map(|after| Pair { before: None, after: Some(after), kind: ChangeKind::Present })
}

/// Pairs two states of a tree. The result is in the order of `after`, what was removed comes last in the order of `before`.
///
/// In this order: the same identity and operation (of several, equal content first, then in order); the same identity; the same form, namespace and name
/// elsewhere (a moved file); the same form and file at the same position (a renamed release, moved environment); the umbrella chart of the same name
/// elsewhere; what has no name elsewhere, where path or values are alike; and, where that is the only one, the same release in another form: the same
/// namespace and name, the same name where one side says no namespace, the same umbrella chart. What is left on both sides shares neither name nor file: it is not
/// compared, since the objects and claims of another name are other ones, and told where it may all the same be one release that took on another name.
#[must_use]
pub fn pair(before: Vec<Declaration>, after: Vec<Declaration>) -> Vec<Pair> {
    let (before, after) = (in_environments_of(before.clone(), &after), in_environments_of(after, &before));
    let mut pairing = Pairing { partner: vec![None; after.len()], taken: vec![false; before.len()], doubts: Vec::new(), before: &before, after: &after };
    pairing.by(|d| Some((d.identity.clone(), Some(d.operation))), Rest::InOrder);
    pairing.by(|d| is_state(d).then(|| (d.identity.clone(), None::<Operation>)), Rest::InOrder);
    pairing.by(|d| d.identity.name.is_some().then(|| elsewhere(d)), Rest::Moved { is_named: true });
    pairing.by(|d| Some((d.identity.form, d.path.clone(), d.operation)), Rest::SamePosition);
    pairing.by(|d| d.identity.name.is_none().then(|| Some((d.umbrella.clone()?, elsewhere(d)))).flatten(), Rest::Moved { is_named: true });
    pairing.by(|d| d.identity.name.is_none().then(|| elsewhere(d)), Rest::Moved { is_named: false });
    pairing.by(|d| in_any_form(d).map(|name| (d.identity.namespace.clone(), name, is_thrown_away(d))), Rest::Moved { is_named: true });
    pairing.by(umbrella_of, Rest::TheOnlyOne);
    pairing.by_name();
    pairing.by_nothing();
    let (partner, doubts) = (pairing.partner, pairing.doubts);
    let mut told: BTreeSet<usize> = BTreeSet::new();
    let doubts: Vec<(usize, NotChecked)> = doubts
        .into_iter()
        .filter(|(b, a)| partner.get(*a) == Some(&None) && !partner.contains(&Some(*b)) && told.insert(*a))
        .filter_map(|(b, a)| Some((a, not_compared(before.get(b)?, after.get(a)?))))
        .collect();
    let mut pairs = finish(before, after, &partner);
    for (a, gap) in doubts {
        if let Some(after) = pairs.get_mut(a).and_then(|pair| pair.after.as_mut()) {
            after.gaps.push(gap);
        }
    }
    pairs
}

fn not_compared(before: &Declaration, after: &Declaration) -> NotChecked {
    let reason = format!(
        "this release was not compared with the one that was removed in {}: whether it is the same one cannot be told; if it moved, give the state before with --before, \
         or move it in a change of its own",
        before.path
    );
    NotChecked { file: Arc::clone(&after.path), ..NotChecked::at(after.place.clone(), NotCheckedKind::PartlyChecked, &reason) }
}

/// A release of a helmfile or an umbrella chart that no environment changes stands once. Where on the other side environments differ, it stands once for
/// each of them, so that each is compared with its own.
fn in_environments_of(declarations: Vec<Declaration>, other: &[Declaration]) -> Vec<Declaration> {
    let has_environments = |d: &&Declaration| matches!(d.identity.form, Form::Helmfile | Form::Umbrella);
    let release = |d: &Declaration, scope: &str| Identity { scope: scope.into(), ..d.identity.clone() };
    let mut scopes: BTreeMap<Identity, Vec<Arc<str>>> = BTreeMap::new();
    for d in other.iter().filter(has_environments) {
        if let Some((file, _)) = d.identity.scope.split_once('#') {
            scopes.entry(release(d, file)).or_default().push(d.identity.scope.clone());
        }
    }
    // An umbrella chart's own values may stand beside those of its environments: then they are compared with what they were.
    for d in other.iter().filter(has_environments) {
        if !d.identity.scope.contains('#') {
            scopes.remove(&d.identity);
        }
    }
    let mut all = Vec::with_capacity(declarations.len());
    for declaration in declarations {
        match scopes.get(&declaration.identity) {
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

/// Whether it is an example or a test: its cluster is made in the same script, or its folder says so.
fn is_thrown_away(declaration: &Declaration) -> bool {
    const FOLDERS: [&str; 10] = ["doc", "docs", "example", "examples", "sample", "samples", "demo", "test", "tests", "e2e"];
    let folders = declaration.path.rsplit_once('/').map_or("", |(folders, _)| folders);
    declaration.flags.iter().any(|flag| flag.kind == FlagKind::ThrowAwayCluster) || folders.split('/').any(|folder| FOLDERS.contains(&folder))
}

/// The name of a release that may be kept in another form on the other side.
fn in_any_form(declaration: &Declaration) -> Option<Arc<str>> {
    declaration.identity.name.clone().filter(|_| is_state(declaration) && !declaration.source_only)
}

/// The umbrella chart that a release is deployed by, whatever names it.
fn umbrella_of(declaration: &Declaration) -> Option<(Arc<str>, Arc<str>)> {
    let chart = declaration.umbrella.clone().filter(|_| is_state(declaration) && !declaration.source_only)?;
    Some((chart, Arc::clone(&declaration.chart.version.place()?.file)))
}

/// Whether it stands for a release in somebody's cluster.
fn is_deployed(declaration: &Declaration) -> bool {
    is_state(declaration) && !declaration.source_only && !is_thrown_away(declaration)
}

/// What tells two releases apart that share neither form nor name.
struct Traits<'d> {
    identity: &'d Identity,
    environments: BTreeSet<&'static str>,
}

impl<'d> Traits<'d> {
    fn of(declaration: &'d Declaration) -> Self {
        let Declaration { identity, path, .. } = declaration;
        let environments = moved::environments(&format!("{path} {} {}", identity.scope, identity.name.as_deref().unwrap_or_default()));
        Self { identity, environments }
    }

    /// Whether nothing says that they lie apart. Those that neither name a release were compared by their likeness.
    fn may_become(&self, after: &Self) -> bool {
        let (b, a) = (self.identity, after.identity);
        let is_elsewhere = matches!((&b.namespace, &a.namespace), (Some(before), Some(after)) if before != after);
        let are_both_unnamed = b.name.is_none() && a.name.is_none() && b.form == a.form;
        !is_elsewhere && !are_both_unnamed && !moved::are_different(&self.environments, &after.environments)
    }
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
    /// By what tells them apart, else by likeness.
    Moved {
        /// They have more in common than their form.
        is_named: bool,
    },
    /// One after the other, if both sides have as many.
    SamePosition,
    /// Where there is one on each side.
    TheOnlyOne,
}

struct Pairing<'d> {
    before: &'d [Declaration],
    after: &'d [Declaration],
    /// For each after, its before.
    partner: Vec<Option<usize>>,
    /// For each before, whether it has a partner.
    taken: Vec<bool>,
    /// Before and after that may be one release, or not.
    doubts: Vec<(usize, usize)>,
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
            let (before, after) = if let Rest::Moved { is_named } = rest { self.join_moved(before, after, is_named) } else { (before, after) };
            let (before, after) = if before.len().max(after.len()) > 1 { self.join_equal(before, after) } else { (before, after) };
            match rest {
                Rest::InOrder => before.iter().zip(&after).for_each(|(b, a)| self.join(*b, *a)),
                Rest::SamePosition if before.len() == after.len() => before.iter().zip(&after).for_each(|(b, a)| self.join_in_place(*b, *a)),
                Rest::TheOnlyOne if before.len() == 1 && after.len() == 1 => before.iter().zip(&after).for_each(|(b, a)| self.join_in_place(*b, *a)),
                Rest::SamePosition | Rest::Moved { .. } | Rest::TheOnlyOne => {}
            }
        }
    }

    fn join(&mut self, before: usize, after: usize) {
        if let (Some(taken), Some(partner)) = (self.taken.get_mut(before), self.partner.get_mut(after)) {
            *taken = true;
            *partner = Some(before);
        }
    }

    /// Joins what stands at the same place of a file, unless it speaks of another environment.
    fn join_in_place(&mut self, before: usize, after: usize) {
        let scopes = (self.before.get(before).map(|d| &d.identity.scope), self.after.get(after).map(|d| &d.identity.scope));
        if matches!(scopes, (Some(before), Some(after)) if moved::name_different_environments(before, after)) {
            self.doubts.push((before, after));
        } else {
            self.join(before, after);
        }
    }

    /// Joins the only two of a name where one of them says no namespace; all others of one name are in doubt: nothing but the name is the same.
    fn by_name(&mut self) {
        let mut groups: BTreeMap<Arc<str>, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        let open_before = self.before.iter().enumerate().filter(|(at, _)| self.taken.get(*at) == Some(&false));
        for (at, name) in open_before.filter_map(|(at, d)| Some((at, in_any_form(d)?))) {
            groups.entry(name).or_default().0.push(at);
        }
        let open_after = self.after.iter().enumerate().filter(|(at, _)| self.partner.get(*at) == Some(&None));
        for (at, name) in open_after.filter_map(|(at, d)| Some((at, in_any_form(d)?))) {
            groups.entry(name).or_default().1.push(at);
        }
        let says_namespace = |all: &[Declaration], at: usize| all.get(at).is_some_and(|d| d.identity.namespace.is_some());
        let thrown_away = |all: &[Declaration], at: usize| all.get(at).is_some_and(is_thrown_away);
        let is_alike = |b: usize, a: usize| thrown_away(self.before, b) == thrown_away(self.after, a);
        for (before, after) in groups.into_values() {
            let is_in_doubt = |b: usize, a: usize| self.doubts.contains(&(b, a));
            match (before.as_slice(), after.as_slice()) {
                ([b], [a]) if is_in_doubt(*b, *a) => {}
                ([b], [a]) if (!says_namespace(self.before, *b) || !says_namespace(self.after, *a)) && is_alike(*b, *a) => self.join_in_place(*b, *a),
                ([first, ..], after) => self.doubts.extend(after.iter().map(|a| (*first, *a))),
                ([], _) => {}
            }
        }
    }

    /// Notes for each release that is new the first that is gone and may be the same one: form and name changed at once, so that nothing tells.
    fn by_nothing(&mut self) {
        let gone: Vec<(usize, Traits<'_>)> =
            self.before.iter().enumerate().filter(|(at, d)| self.taken.get(*at) == Some(&false) && is_deployed(d)).map(|(at, d)| (at, Traits::of(d))).collect();
        let new = self.after.iter().enumerate().filter(|(at, d)| !gone.is_empty() && self.partner.get(*at) == Some(&None) && is_deployed(d));
        for (a, after) in new.map(|(at, d)| (at, Traits::of(d))) {
            self.doubts.extend(gone.iter().take(MAX_COMPARED).find(|(_, before)| before.may_become(&after)).map(|(b, _)| (*b, a)));
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

    /// Joins what moved, notes what is in doubt, and gives back the others.
    fn join_moved(&mut self, before: Vec<usize>, after: Vec<usize>, is_named: bool) -> (Vec<usize>, Vec<usize>) {
        let befores: Vec<&Declaration> = before.iter().filter_map(|at| self.before.get(*at)).collect();
        let afters: Vec<&Declaration> = after.iter().filter_map(|at| self.after.get(*at)).collect();
        let moves = moved::find(&befores, &afters, is_named);
        let at = |(b, a): (usize, usize)| Some((*before.get(b)?, *after.get(a)?));
        for (b, a) in moves.pairs.into_iter().filter_map(at) {
            self.join(b, a);
        }
        self.doubts.extend(moves.doubts.into_iter().filter_map(at));
        let is_left = |b: &usize| self.taken.get(*b) == Some(&false);
        let is_new = |a: &usize| self.partner.get(*a) == Some(&None);
        (before.into_iter().filter(is_left).collect(), after.into_iter().filter(is_new).collect())
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
    fn a_removed_example_is_not_taken_for_the_release_of_its_name() {
        let mut example = flux("docs/install.sh", "m", "1");
        example.identity.form = Form::Command;
        example.identity.namespace = None;
        let mut script = example.clone();
        script.path = "deploy/install.sh".into();
        assert_eq!(shown(vec![script], vec![flux("a/m.yaml", "m", "2")]), ["deploy/install.sh>a/m.yaml:Changed"]);
        let pairs = pair(vec![example], vec![flux("a/m.yaml", "m", "2")]);
        assert!(pairs[0].before.is_none() && pairs[0].after.as_ref().unwrap().gaps.len() == 1, "{pairs:?}");
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
    fn a_folder_of_a_cluster_that_gets_another_name_for_the_same_pairs() {
        for (before, after) in [("clusters/prod/m.yaml", "clusters/production/m.yaml"), ("clusters/eu/m.yaml", "clusters/eu-prod/m.yaml")] {
            assert_eq!(shown(vec![flux(before, "m", "1")], vec![flux(after, "m", "2")]), [format!("{before}>{after}:Changed")]);
        }
    }

    #[test]
    fn a_moved_folder_pairs_environment_by_environment() {
        let before = vec![flux("clusters/dev/m.yaml", "m", "1"), flux("clusters/prod/m.yaml", "m", "1")];
        let after = vec![flux("k8s/clusters/prod/m.yaml", "m", "3"), flux("k8s/clusters/dev/m.yaml", "m", "2")];
        assert_eq!(shown(before, after), ["clusters/prod/m.yaml>k8s/clusters/prod/m.yaml:Changed", "clusters/dev/m.yaml>k8s/clusters/dev/m.yaml:Changed"]);
    }

    #[test]
    fn clusters_that_move_far_pair_by_what_tells_them_apart() {
        let at = |folder: &str, content: &str| ["a", "b", "c"].map(|c| flux(&folder.replace('*', c), "m", content)).to_vec();
        assert_eq!(
            shown(at("clusters/*/milvus.yaml", "1"), at("infrastructure/fleet/*/apps/databases/release.yaml", "2")),
            ["a", "b", "c"].map(|c| format!("clusters/{c}/milvus.yaml>infrastructure/fleet/{c}/apps/databases/release.yaml:Changed"))
        );
        let gone = shown(at("clusters/*/m.yaml", "1"), vec![flux("fleet/b/m.yaml", "m", "2")]);
        assert_eq!(gone[0], "clusters/b/m.yaml>fleet/b/m.yaml:Changed");
        // `dev` before says the same as `prod` after.
        let before = vec![flux("clusters/dev/m.yaml", "m", "1"), flux("clusters/production/m.yaml", "m", "1")];
        let after = vec![flux("fleet/prod/m.yaml", "m", "1"), flux("fleet/dev/m.yaml", "m", "2")];
        assert_eq!(shown(before, after), ["clusters/production/m.yaml>fleet/prod/m.yaml:Unchanged", "clusters/dev/m.yaml>fleet/dev/m.yaml:Changed"]);
    }

    #[test]
    fn hundreds_of_clusters_that_move_pair() {
        let at = |folder: &str, content: &str| (0..500).map(|c| flux(&format!("{folder}/c{c}/m.yaml"), "m", content)).collect::<Vec<_>>();
        assert!(pair(at("clusters", "1"), at("fleet", "2")).iter().all(|p| p.kind == ChangeKind::Changed));
    }

    #[test]
    fn what_may_be_another_release_is_not_paired_and_says_so() {
        for (before, after) in
            [("clusters/dev/m.yaml", "clusters/prod/m.yaml"), ("clusters/eu-1/m.yaml", "clusters/us-2/m.yaml"), ("milvus-dev.yaml", "apps/milvus-prod.yaml")]
        {
            let all = pair(vec![flux(before, "m", "1")], vec![flux(after, "m", "2")]);
            assert_eq!((all[0].kind, all[1].kind), (ChangeKind::Added, ChangeKind::Removed), "{after}");
            let gaps = &all[0].after.as_ref().unwrap().gaps;
            assert!(gaps.len() == 1 && gaps[0].reason.contains(before), "{gaps:?}");
        }
        let all = pair(vec![flux("clusters/m.yaml", "m", "1")], vec![flux("clusters/eu/m.yaml", "m", "2"), flux("clusters/us/m.yaml", "m", "3")]);
        assert!(all.iter().filter_map(|p| p.after.as_ref()).all(|d| d.gaps.len() == 1));
    }

    #[test]
    fn an_umbrella_chart_that_moves_pairs_by_its_name_and_environment() {
        let at = |folder: &str, name: &str, content: &str| {
            let one = |environment: &str| {
                let mut declaration = flux(&format!("{folder}/Chart.yaml"), "", content);
                declaration.identity = Identity { form: Form::Umbrella, scope: format!("{folder}{environment}").into(), namespace: None, name: None };
                declaration.umbrella = Some(name.into());
                declaration
            };
            vec![one(""), one("#dev"), one("#prod")]
        };
        let scopes = |before, after| -> Vec<String> {
            let scope = |d: Option<Declaration>| d.map_or("-".to_owned(), |d| d.identity.scope.to_string());
            pair(before, after).into_iter().map(|p| format!("{}>{}", scope(p.before), scope(p.after))).collect()
        };
        let moved = scopes(at("charts/search", "search/milvus", "1"), at("platform/vectors/deploy", "search/milvus", "2"));
        assert_eq!(
            moved,
            ["charts/search>platform/vectors/deploy", "charts/search#dev>platform/vectors/deploy#dev", "charts/search#prod>platform/vectors/deploy#prod"]
        );
        let other = scopes(at("charts/search", "search/milvus", "1"), at("platform/vectors", "vectors/milvus", "2"));
        assert_eq!(other.len(), 6);
        let mut base_alone = at("charts/search", "search/milvus", "1");
        base_alone.truncate(1);
        let mut environments = at("charts/search", "search/milvus", "2");
        environments.remove(0);
        assert_eq!(scopes(base_alone, environments), ["charts/search#dev>charts/search#dev", "charts/search#prod>charts/search#prod"]);
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

    /// A release as a command, an Argo CD application or a `HelmRelease` declares it.
    fn of_form(form: Form, path: &str, namespace: Option<&str>, name: &str) -> Declaration {
        let mut declaration = flux(path, name, path);
        declaration.identity = Identity { form, scope: path.into(), namespace: namespace.map(Into::into), name: Some(name.into()) };
        declaration
    }

    #[test]
    fn a_release_that_changes_its_form_pairs_where_it_is_the_only_one() {
        use Form::{ArgoCd, Command, Flux};
        let one = |form, path: &str, namespace| of_form(form, path, namespace, "m");
        let paired = |before: Vec<Declaration>, after: Vec<Declaration>| shown(before, after).iter().filter(|p| p.ends_with(":Changed")).count();
        assert_eq!(paired(vec![one(Flux, "apps/m.yaml", Some("db"))], vec![one(ArgoCd, "argo/app.yaml", Some("db"))]), 1);
        assert_eq!(paired(vec![one(Command, "up.sh", None)], vec![one(Flux, "apps/m.yaml", Some("db"))]), 1);
        // Which of the two it was cannot be told.
        let two = vec![one(Command, "eu.sh", None), one(Command, "us.sh", None)];
        assert_eq!(paired(two.clone(), vec![one(Flux, "apps/m.yaml", Some("db"))]), 0);
        assert_eq!(paired(vec![one(Flux, "clusters/dev/m.yaml", Some("db"))], vec![one(ArgoCd, "argo/prod/app.yaml", Some("db"))]), 0);
        assert_eq!(paired(vec![of_form(Flux, "a.yaml", Some("db"), "other")], vec![one(ArgoCd, "b.yaml", Some("db"))]), 0);
        let mut removed = one(Command, "down.sh", None);
        removed.operation = Operation::Uninstall;
        assert_eq!(paired(vec![removed], vec![one(Flux, "apps/m.yaml", Some("db"))]), 0);
    }

    #[test]
    fn what_has_nothing_but_its_name_in_common_is_told_once() {
        let one = |path: &str, namespace| of_form(Form::Flux, path, Some(namespace), "m");
        let told = |before: Vec<Declaration>, after: Vec<Declaration>| -> Vec<usize> {
            pair(before, after).iter().filter_map(|p| p.after.as_ref()).map(|d| d.gaps.len()).collect()
        };
        // File and namespace at once.
        assert_eq!(told(vec![one("a/m.yaml", "db")], vec![one("x/y.yaml", "vectors")]), [1]);
        assert_eq!(told(vec![one("a/m.yaml", "db"), one("b/m.yaml", "b")], vec![one("x/y.yaml", "vectors")]), [1]);
        // Clusters beside each other, of which nothing says the namespace.
        let nowhere = |path: &str| of_form(Form::Flux, path, None, "m");
        assert_eq!(told(vec![nowhere("clusters/eu-1/m.yaml")], vec![nowhere("clusters/us-2/m.yaml")]), [1]);
        // Nothing was removed.
        assert_eq!(told(vec![one("a/m.yaml", "db")], vec![one("a/m.yaml", "db"), one("x/y.yaml", "vectors")]), [0, 0]);
    }

    #[test]
    fn a_release_that_changes_form_and_name_at_once_is_told() {
        let told = |before: Declaration, after: Declaration| -> Vec<String> {
            let pairs = pair(vec![before], vec![after]);
            assert!(pairs[0].before.is_none() && pairs[0].kind == ChangeKind::Added && pairs[1].kind == ChangeKind::Removed);
            pairs[0].after.as_ref().unwrap().gaps.iter().map(|gap| gap.reason.to_string()).collect()
        };
        let flux = |path: &str, namespace| of_form(Form::Flux, path, namespace, "a");
        let argo = |path: &str, namespace| of_form(Form::ArgoCd, path, namespace, "b");
        let gaps = told(flux("apps/a.yaml", Some("db")), argo("argo/b.yaml", Some("db")));
        assert!(gaps.len() == 1 && gaps[0].contains("apps/a.yaml") && gaps[0].contains("--before"), "{gaps:?}");
        assert_eq!(told(flux("apps/a.yaml", None), argo("argo/b.yaml", Some("db"))).len(), 1);
        // Two that lie apart: nothing is asked.
        assert_eq!(told(flux("apps/a.yaml", Some("db")), argo("argo/b.yaml", Some("vectors"))).len(), 0);
        assert_eq!(told(flux("dev/a.yaml", None), argo("argo/prod/b.yaml", None)).len(), 0);
        assert_eq!(told(of_form(Form::Command, "docs/install.sh", None, "a"), argo("argo/b.yaml", None)).len(), 0);
    }

    #[test]
    fn an_umbrella_chart_that_gets_a_deployer_is_the_same_release() {
        let chart = |form, path: &str, name: Option<&str>| {
            let mut declaration = flux(path, "", path);
            declaration.identity = Identity { form, scope: path.into(), namespace: None, name: name.map(Into::into) };
            declaration.umbrella = Some("search/milvus".into());
            let spec = crate::model::version::VersionSpec::parse("4.2.58");
            declaration.chart.version = Fact::Known(spec, Origin::At(Place::file_start(&"charts/search/Chart.yaml".into())));
            declaration
        };
        let before = chart(Form::Umbrella, "charts/search/Chart.yaml", None);
        assert_eq!(shown(vec![before], vec![chart(Form::ArgoCd, "argo/search.yaml", Some("search"))]), ["charts/search/Chart.yaml>argo/search.yaml:Changed"]);
    }
}
