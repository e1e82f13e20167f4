"""What a model reads: its inputs resolved to features, expressions and request fields."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.errors import Invalid, NotFound
from tidemill.project import expressions
from tidemill.project.naming import SEPARATOR, feature_names
from tidemill.project.normalise import normalise

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["feature", "on_demand", "field"]


@dataclass(frozen=True, slots=True)
class ResolvedInput:
    """One input, or something that an input is computed from.

    `name` is its column in training sets and in requests. `entity` pairs each key field of the
    view, in the view's order, with the field of the spine that gives its value.
    """

    name: str
    kind: Kind
    type: pb.FieldType
    view: str = ""
    feature: str = ""
    alias: str = ""
    entity: tuple[tuple[str, str], ...] = ()
    expression: str = ""
    categorical: pb.Categorical | None = None


@dataclass(frozen=True, slots=True)
class ModelInputs:
    """Everything that must be known to make a model's vector.

    `inputs` in their frozen order, split into `numeric` and `categorical` (each in that order);
    `features`: all that must be read, those of inputs first, then those only expressions use;
    `on_demand`: all that must be computed, dependencies first; `fields`: what a request carries:
    request inputs, fields that expressions use, entity and join key fields.
    """

    inputs: tuple[ResolvedInput, ...]
    features: tuple[ResolvedInput, ...]
    on_demand: tuple[ResolvedInput, ...]
    fields: tuple[pb.Field, ...]

    @property
    def numeric(self) -> tuple[ResolvedInput, ...]:
        """Inputs of the tensor `features`, in order."""
        return tuple(one for one in self.inputs if one.categorical is None)

    @property
    def categorical(self) -> tuple[ResolvedInput, ...]:
        """Inputs of the tensor `categories`, in order."""
        return tuple(one for one in self.inputs if one.categorical is not None)

    @property
    def entities(self) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
        """Return the distinct (view, entity mapping) pairs that are read, in order."""
        return tuple(dict.fromkeys((one.view, one.entity) for one in self.features))


def model_inputs(project: pb.Project, model: str | pb.Model) -> ModelInputs:
    """Resolve the inputs of a model; NotFound or Invalid if the project does not hold together."""
    project = normalise(project)
    name = model if isinstance(model, str) else model.name
    found = next((each for each in project.models if each.name == name), None)
    if found is None:
        raise NotFound(f"no model {name!r} in project {project.name!r}")
    return _Resolver(project, found).resolve()


@dataclass(slots=True)
class _Resolver:
    project: pb.Project
    model: pb.Model
    features: dict[str, ResolvedInput] = field(default_factory=dict)
    on_demand: dict[str, ResolvedInput] = field(default_factory=dict)
    fields: dict[str, pb.Field] = field(default_factory=dict)
    computing: list[str] = field(default_factory=list)

    def resolve(self) -> ModelInputs:
        refs = [item.feature for item in self.model.inputs if item.HasField("feature")]
        for ref in refs:
            self.feature(ref)
        inputs = tuple(self.input(item) for item in self.model.inputs)
        for one in tuple(self.features.values()):
            for _, source in one.entity:
                self.request_field(source)
        for key in self.model.spine.key:
            self.request_field(key)
        return ModelInputs(
            inputs,
            tuple(self.features.values()),
            tuple(self.on_demand.values()),
            tuple(self.fields.values()),
        )

    def input(self, item: pb.Input) -> ResolvedInput:
        if item.HasField("feature"):
            one = self.feature(item.feature)
        elif item.HasField("on_demand"):
            one = self.computed(item.on_demand)
        else:
            declared = self.request_field(item.field)
            one = ResolvedInput(item.field, "field", declared.type)
        if not item.HasField("categorical"):
            return one
        return replace(one, categorical=item.categorical)

    def feature(self, ref: pb.FeatureRef) -> ResolvedInput:
        view = next((v for v in self.project.views if v.name == ref.view), None)
        if view is None or ref.name not in feature_names(view):
            raise Invalid(f"model {self.model.name!r} reads {ref.view}.{ref.name}: no such feature")
        alias = ref.alias or ref.view
        name = f"{alias}{SEPARATOR}{ref.name}"
        entity = tuple((key, ref.entity.get(key, key)) for key in view.entity)
        one = ResolvedInput(
            name,
            "feature",
            pb.FIELD_TYPE_FLOAT64,
            view=ref.view,
            feature=ref.name,
            alias=alias,
            entity=entity,
        )
        return self.features.setdefault(name, one)

    def request_field(self, name: str) -> pb.Field:
        if name not in self.fields:
            spine = self.model.spine.stream
            found = next((f for f in self.spine_fields() if f.name == name), None)
            if found is None:
                raise Invalid(f"model {self.model.name!r} reads {name!r}: no field of {spine}")
            self.fields[name] = found
        return self.fields[name]

    def spine_fields(self) -> Iterator[pb.Field]:
        for stream in self.project.streams:
            if stream.name == self.model.spine.stream:
                yield from stream.fields

    def computed(self, name: str) -> ResolvedInput:
        if name in self.on_demand:
            return self.on_demand[name]
        found = next((o for o in self.project.on_demand if o.name == name), None)
        if found is None or name in self.computing:
            raise Invalid(f"model {self.model.name!r} reads {name!r}: missing, or made of itself")
        self.computing.append(name)
        for column in expressions.columns_of(found.expression):
            self.column(column)
        self.computing.pop()
        one = ResolvedInput(name, "on_demand", found.type, expression=found.expression)
        return self.on_demand.setdefault(name, one)

    def column(self, name: str) -> None:
        """Resolve a column of an expression: on-demand, field, or a feature of an alias or view."""
        if any(one.name == name for one in self.project.on_demand):
            self.computed(name)
        elif any(one.name == name for one in self.spine_fields()):
            self.request_field(name)
        elif name not in self.features:
            alias, _, feature = name.partition(SEPARATOR)
            self.feature(self.reference(alias, feature))

    def reference(self, alias: str, feature: str) -> pb.FeatureRef:
        """Refer to a feature that only an expression uses, by the mapping that its alias has."""
        used = (item.feature for item in self.model.inputs if item.feature.alias == alias)
        ref = pb.FeatureRef(view=alias, alias=alias)
        ref.CopyFrom(next(used, ref))
        ref.name = feature
        return ref
