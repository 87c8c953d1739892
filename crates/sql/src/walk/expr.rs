//! Expressions: what their value carries, and what they decide.

use pg_query::protobuf::{
    AExpr, AExprKind, AIndirection, CaseExpr, SubLink, SubLinkType, TypeCast, XmlExpr, XmlExprOp,
};
use pg_query::{Node, NodeEnum};

use super::Walk;
use super::call::Fits;
use super::implied::Type;
use super::scope::Scope;
use super::taint::Taint;
use crate::access::Usage;

impl<'a> Walk<'a> {
    /// An expression whose value decides something.
    pub(super) fn judge(&mut self, node: &'a Node, scope: &Scope<'_, 'a>) {
        let taint = self.expr(node, scope);
        self.filter(&taint);
    }

    /// What the value of an expression carries.
    pub(super) fn expr(&mut self, node: &'a Node, scope: &Scope<'_, 'a>) -> Taint {
        if !self.step() {
            return Taint::default();
        }
        let Some(inner) = node.node.as_ref() else { return self.misunderstood() };
        let taint = self.value(inner, scope);
        if matches!(inner, NodeEnum::ColumnRef(_)) { taint } else { taint.computed() }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a node that is not listed is refused")]
    fn value(&mut self, inner: &'a NodeEnum, scope: &Scope<'_, 'a>) -> Taint {
        match inner {
            NodeEnum::AConst(_) | NodeEnum::ParamRef(_) | NodeEnum::SetToDefault(_) | NodeEnum::SqlvalueFunction(_) => {
                Taint::default()
            }
            NodeEnum::ColumnRef(column) => self.column(column, scope),
            NodeEnum::FuncCall(call) => self.call(call, scope),
            NodeEnum::NamedArgExpr(argument) => self.optional(argument.arg.as_deref(), scope),
            NodeEnum::TypeCast(cast) => self.cast(cast, scope),
            NodeEnum::CollateClause(collate) => self.optional(collate.arg.as_deref(), scope),
            NodeEnum::AExpr(expr) => self.operation(expr, scope),
            NodeEnum::BoolExpr(expr) => self.decided(&expr.args, scope),
            NodeEnum::NullTest(test) => self.decided_one(test.arg.as_deref(), scope),
            NodeEnum::BooleanTest(test) => self.decided_one(test.arg.as_deref(), scope),
            NodeEnum::MinMaxExpr(expr) => {
                for argument in &expr.args {
                    let of = self.type_of(Some(argument), scope);
                    self.compared_by_class(of);
                }
                self.decided(&expr.args, scope)
            }
            NodeEnum::CoalesceExpr(expr) => self.all(&expr.args, scope),
            NodeEnum::AArrayExpr(array) => self.all(&array.elements, scope),
            NodeEnum::RowExpr(row) => self.all(&row.args, scope),
            NodeEnum::List(list) => self.all(&list.items, scope),
            NodeEnum::CaseExpr(case) => self.case(case, scope),
            NodeEnum::SubLink(link) => self.link(link, scope),
            NodeEnum::AIndirection(indirection) => self.indirection(indirection, scope),
            NodeEnum::GroupingFunc(grouping) => {
                self.all(&grouping.args, scope);
                Taint::default()
            }
            NodeEnum::SortBy(sort) => self.sort_argument(sort, scope),
            NodeEnum::XmlExpr(xml) => self.xml(xml, scope),
            NodeEnum::XmlSerialize(xml) => {
                xml.type_name.iter().for_each(|name| {
                    let _ = self.type_name(name);
                });
                self.decided_one(xml.expr.as_deref(), scope)
            }
            NodeEnum::ResTarget(target) => self.optional(target.val.as_deref(), scope),
            NodeEnum::MultiAssignRef(assign) => self.optional(assign.source.as_deref(), scope),
            NodeEnum::CurrentOfExpr(_) => self.current_of(),
            _ => self.misunderstood().with(&scope.everything()),
        }
    }

    fn optional(&mut self, node: Option<&'a Node>, scope: &Scope<'_, 'a>) -> Taint {
        node.map(|node| self.expr(node, scope)).unwrap_or_default()
    }

    pub(super) fn all(&mut self, nodes: &'a [Node], scope: &Scope<'_, 'a>) -> Taint {
        nodes.iter().fold(Taint::default(), |taint, node| taint.with(&self.expr(node, scope)))
    }

    fn decided(&mut self, nodes: &'a [Node], scope: &Scope<'_, 'a>) -> Taint {
        let taint = self.all(nodes, scope);
        self.filter(&taint);
        taint
    }

    fn decided_one(&mut self, node: Option<&'a Node>, scope: &Scope<'_, 'a>) -> Taint {
        let taint = self.optional(node, scope);
        self.filter(&taint);
        taint
    }

    fn sort_argument(&mut self, sort: &'a pg_query::protobuf::SortBy, scope: &Scope<'_, 'a>) -> Taint {
        if !sort.use_op.is_empty() {
            self.operator(&sort.use_op, Type::Unknown, Type::Unknown);
        }
        let of = self.type_of(sort.node.as_deref(), scope);
        self.compared_by_class(of);
        self.optional(sort.node.as_deref(), scope)
    }

    fn cast(&mut self, cast: &'a TypeCast, scope: &Scope<'_, 'a>) -> Taint {
        self.visited.cast(cast);
        let taint = self.optional(cast.arg.as_deref(), scope);
        let fits = match cast.type_name.as_ref() {
            Some(name) => self.type_name(name),
            None => {
                self.misunderstood();
                Fits::Some
            }
        };
        match fits {
            Fits::Any => {}
            Fits::Shown => self.used(&taint, Usage::Derive),
            Fits::Some => self.filter(&taint),
        }
        taint
    }

    fn operation(&mut self, expr: &'a AExpr, scope: &Scope<'_, 'a>) -> Taint {
        self.visited.operator(expr);
        let left = self.optional(expr.lexpr.as_deref(), scope);
        let taint = left.with(&self.optional(expr.rexpr.as_deref(), scope));
        let mut types = vec![(self.type_of(expr.lexpr.as_deref(), scope), self.type_of(expr.rexpr.as_deref(), scope))];
        let builds = match AExprKind::try_from(expr.kind) {
            // The operator of BETWEEN is spelt as a word.
            Ok(
                AExprKind::AexprBetween
                | AExprKind::AexprNotBetween
                | AExprKind::AexprBetweenSym
                | AExprKind::AexprNotBetweenSym,
            ) => {
                self.compared(expr, &["<", "<=", ">", ">="], scope);
                false
            }
            Ok(AExprKind::AexprOp) => {
                types.iter().fold(true, |builds, (left, right)| self.operator(&expr.name, *left, *right) && builds)
            }
            Ok(AExprKind::Undefined) | Err(_) => {
                self.misunderstood();
                false
            }
            Ok(kind) => {
                if matches!(kind, AExprKind::AexprIn | AExprKind::AexprOpAny | AExprKind::AexprOpAll) {
                    let left = self.type_of(expr.lexpr.as_deref(), scope);
                    let right = self.types_within(expr.rexpr.as_deref(), scope);
                    types = right.into_iter().map(|right| (left, right)).collect();
                }
                for (left, right) in types {
                    self.operator(&expr.name, left, right);
                }
                false
            }
        };
        if !builds {
            self.filter(&taint);
        }
        taint
    }

    fn case(&mut self, case: &'a CaseExpr, scope: &Scope<'_, 'a>) -> Taint {
        if let Some(subject) = case.arg.as_deref() {
            self.judge(subject, scope);
        }
        let mut taint = self.optional(case.defresult.as_deref(), scope);
        for arm in &case.args {
            let Some(NodeEnum::CaseWhen(arm)) = arm.node.as_ref() else { return self.misunderstood() };
            self.decided_one(arm.expr.as_deref(), scope);
            if case.arg.is_some() {
                let (subject, value) = (case.arg.as_deref(), arm.expr.as_deref());
                self.implied(&["="], self.type_of(subject, scope), self.type_of(value, scope));
            }
            taint.add(&self.optional(arm.result.as_deref(), scope));
        }
        taint
    }

    fn link(&mut self, link: &'a SubLink, scope: &Scope<'_, 'a>) -> Taint {
        let row = self.subquery(link.subselect.as_deref(), scope).all();
        let test = self.optional(link.testexpr.as_deref(), scope);
        let tested = self.type_of(link.testexpr.as_deref(), scope);
        if !link.oper_name.is_empty() {
            self.operator(&link.oper_name, tested, Type::Unknown);
        } else if link.testexpr.is_some() {
            self.implied(&["="], tested, Type::Unknown);
        }
        match SubLinkType::try_from(link.sub_link_type) {
            // Whether there are rows does not depend on what they show.
            Ok(SubLinkType::ExistsSublink) => Taint::default(),
            Ok(SubLinkType::ExprSublink | SubLinkType::ArraySublink | SubLinkType::MultiexprSublink) => row.with(&test),
            Ok(SubLinkType::AllSublink | SubLinkType::AnySublink | SubLinkType::RowcompareSublink) => {
                let taint = row.with(&test);
                self.filter(&taint);
                taint
            }
            Ok(SubLinkType::CteSublink | SubLinkType::Undefined) | Err(_) => self.misunderstood().with(&row),
        }
    }

    /// `(x).field`, `(x).*`, `x[1]`.
    fn indirection(&mut self, indirection: &'a AIndirection, scope: &Scope<'_, 'a>) -> Taint {
        let Some(value) = indirection.arg.as_deref() else { return self.misunderstood() };
        let entry = self.whole_row(value, scope);
        let mut taint = self.expr(value, scope);
        for (at, step) in indirection.indirection.iter().enumerate() {
            match step.node.as_ref() {
                Some(NodeEnum::AStar(_)) => {}
                Some(NodeEnum::String(name)) => {
                    taint = match &entry {
                        Some(entry) if at == 0 => self.attribute(entry, &name.sval),
                        _ => self.field_or_call(&name.sval, &taint, false),
                    };
                }
                Some(NodeEnum::AIndices(indices)) => {
                    let bounds = [&indices.lidx, &indices.uidx];
                    bounds.into_iter().flatten().for_each(|bound| self.judge(bound, scope));
                    self.filter(&taint);
                }
                _ => drop(self.misunderstood()),
            }
        }
        taint
    }

    fn xml(&mut self, xml: &'a XmlExpr, scope: &Scope<'_, 'a>) -> Taint {
        let taint = self.all(&xml.named_args, scope).with(&self.all(&xml.args, scope));
        if !xml.arg_names.is_empty() {
            self.misunderstood();
        }
        match XmlExprOp::try_from(xml.op) {
            Ok(XmlExprOp::IsXmlconcat | XmlExprOp::IsXmlelement | XmlExprOp::IsXmlforest) => {}
            _ => self.filter(&taint),
        }
        taint
    }
}
