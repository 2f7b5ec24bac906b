# SPDX-License-Identifier: Apache-2.0
"""`record`: classes whose objects are structs in a store, and the types that their fields have."""

from __future__ import annotations

import builtins
import struct
import sys
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args, get_origin, overload

from spacejmp.structures._field import Field, Form
from spacejmp.structures._record import RecordCore, record_address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    import numpy as np
    from typing_extensions import Self, dataclass_transform

    from spacejmp.structures.store import Store

__all__ = [
    "FixedArray",
    "Ptr",
    "Record",
    "address_of",
    "bool_",
    "bytes_",
    "f32",
    "f64",
    "i8",
    "i16",
    "i32",
    "i64",
    "record",
    "str_",
    "u8",
    "u16",
    "u32",
    "u64",
]

T = TypeVar("T")
N = TypeVar("N")

# ---- types of fields

# In the order of their codes on the media: name, bytes, C, NumPy.
_CODES = (
    ("", 0, "", ""),
    ("i8", 1, "int8_t", "<i1"),
    ("i16", 2, "int16_t", "<i2"),
    ("i32", 4, "int32_t", "<i4"),
    ("i64", 8, "int64_t", "<i8"),
    ("u8", 1, "uint8_t", "<u1"),
    ("u16", 2, "uint16_t", "<u2"),
    ("u32", 4, "uint32_t", "<u4"),
    ("u64", 8, "uint64_t", "<u8"),
    ("f32", 4, "float", "<f4"),
    ("f64", 8, "double", "<f8"),
    ("bool_", 1, "bool", "?"),
    ("str_", 8, "struct sj_blob *", "<u8"),
    ("bytes_", 8, "struct sj_blob *", "<u8"),
    ("Ptr", 8, "void *", "<u8"),
)
_BOOL, _PTR = 11, 14


class FieldType:
    """What a field is: ``sj.i64``, ``sj.f32[8]``, ``sj.Ptr["Node"]``."""

    __slots__ = ("code", "count", "is_array", "target")

    def __init__(self, code: int, count: int = 1, is_array: bool = False, target: str = "") -> None:
        self.code = code
        self.count = count
        self.is_array = is_array
        self.target = target

    @property
    def size(self) -> int:
        """Bytes of a number, or of an element of an array."""
        return _CODES[self.code][1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's type of it, or of an element."""
        import numpy as np

        return np.dtype(_CODES[self.code][3])

    def __getitem__(self, count: Any) -> FieldType:
        if self.code > _BOOL or self.is_array:
            raise TypeError(f"there are no arrays of {self}")
        if not isinstance(count, int) or count < 1:
            raise TypeError(f"{self}[{count!r}]: expected a length ≥ 1")
        return FieldType(self.code, count, True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldType) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return self.code, self.count, self.is_array, self.target

    def __repr__(self) -> str:
        name = _CODES[self.code][0]
        if self.is_array:
            return f"{name}[{self.count}]"
        return f"{name}[{self.target}]" if self.target else name

    def _declare(self, name: str) -> str:
        """The field in C."""
        of = f"struct {_c_name(self.target)} *" if self.target else _CODES[self.code][2]
        return f"{of}{'' if of.endswith('*') else ' '}{name}" + (
            f"[{self.count}]" if self.is_array else ""
        )


def _c_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


class _PointerType(FieldType):
    """``Ptr``, which takes a class, or the name of one; ``Ptr[Any]`` is ``Ptr``."""

    __slots__ = ()

    def __getitem__(self, target: Any) -> FieldType:
        if target is Any:
            return self
        form = getattr(target, "__record__", None)
        name = target if isinstance(target, str) else getattr(target, "__forward_arg__", None)
        if isinstance(form, Form):
            name = form.name
        if not isinstance(name, str) or not 0 < len(name.encode()) < 256:
            raise TypeError(f"Ptr[{target!r}]: expected a class made by record(), or its name")
        return FieldType(_PTR, target=name)


class _ArrayType:
    """``FixedArray[f32, Literal[8]]``: as ``f32[8]``, in words that type checkers take."""

    def __getitem__(self, arguments: tuple[Any, Any]) -> FieldType:
        of, count = arguments
        if get_origin(count) is Literal:
            (count,) = get_args(count)
        found: FieldType = of[count]
        return found


if TYPE_CHECKING:
    i8: TypeAlias = int  # noqa: PYI042
    i16: TypeAlias = int  # noqa: PYI042
    i32: TypeAlias = int  # noqa: PYI042
    i64: TypeAlias = int  # noqa: PYI042
    u8: TypeAlias = int  # noqa: PYI042
    u16: TypeAlias = int  # noqa: PYI042
    u32: TypeAlias = int  # noqa: PYI042
    u64: TypeAlias = int  # noqa: PYI042
    f32: TypeAlias = float  # noqa: PYI042
    f64: TypeAlias = float  # noqa: PYI042
    bool_: TypeAlias = bool  # noqa: PYI042
    str_: TypeAlias = str  # noqa: PYI042
    bytes_: TypeAlias = bytes  # noqa: PYI042

    class Ptr(Generic[T]):
        """A pointer to a record, or None."""

        @overload
        def __get__(self, instance: None, owner: type) -> Self: ...
        @overload
        def __get__(self, instance: object, owner: type) -> T | None: ...
        def __get__(self, instance: object, owner: type) -> Any: ...
        def __set__(self, instance: object, value: T | None) -> None: ...

    class _Elements(Sequence[T]):
        @overload
        def __setitem__(self, key: int, value: T) -> None: ...
        @overload
        def __setitem__(self, key: slice, value: Sequence[T]) -> None: ...
        def __setitem__(self, key: Any, value: Any) -> None: ...
        def tolist(self) -> list[T]: ...

    class FixedArray(Generic[T, N]):
        """An array of a fixed length."""

        @overload
        def __get__(self, instance: None, owner: type) -> Self: ...
        @overload
        def __get__(self, instance: object, owner: type) -> _Elements[T]: ...
        def __get__(self, instance: object, owner: type) -> Any: ...
        def __set__(self, instance: object, value: Sequence[T]) -> None: ...

else:
    i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, bool_, str_, bytes_ = (
        FieldType(code) for code in range(1, _PTR)
    )
    Ptr = _PointerType(_PTR)
    FixedArray = _ArrayType()

    def dataclass_transform(**_: Any) -> Callable[[T], T]:
        """For type checkers alone."""
        return lambda decorator: decorator


# ---- classes


class _Lazy:
    """An attribute of a class that is made when it is asked for."""

    def __init__(self, make: Callable[[Form], Any]) -> None:
        self._make = make

    def __get__(self, instance: object, owner: Any) -> Any:
        form = getattr(owner, "__record__", None)
        if form is None:
            raise AttributeError("a class has it once it is decorated with record()")
        return self._make(form)


def _dtype(form: Form) -> Any:
    import numpy as np

    formats = [
        (f.type.dtype, (f.type.count,)) if f.type.is_array else f.type.dtype for f in form.fields
    ]
    names, offsets = [f.name for f in form.fields], [f.offset for f in form.fields]
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": form.size})


class Record(RecordCore):
    """What the classes made by `record` derive from.

    Attributes
    ----------
    address : int
        Of the first field: what C programs and pointers have.
    store : Store
        Where it is.
    fields : tuple of Field
        Of the class: each has ``name``, ``type``, ``offset``, ``size``, ``default``, ``target``.
    dtype : numpy.dtype
        Of the class: its layout. Strings and pointers are addresses.

    Two are equal when they stand for the same record.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        fields: tuple[Field, ...]
        dtype: np.dtype[Any]
    else:
        fields = _Lazy(lambda form: form.fields)
        dtype = _Lazy(_dtype)

    @classmethod
    def c_declaration(cls) -> str:
        """Return the struct in C, whose strings are ``struct sj_blob`` of structures/entry.h.

        Examples
        --------
        >>> @sj.record
        ... class Point:
        ...     x: sj.f64
        ...     tags: sj.u16[4]
        ...     next: sj.Ptr["Point"]
        >>> print(Point.c_declaration())
        struct Point {
            double x;
            uint16_t tags[4];
            struct Point *next;
        };
        """
        form = _form(cls)
        lines = (f"    {field.type._declare(field.name)};\n" for field in form.fields)
        return f"struct {_c_name(form.name)} {{\n{''.join(lines)}}};"


def _form(cls: type) -> Form:
    form = cls.__dict__.get("__record__")
    if not isinstance(form, Form):
        raise TypeError(f"expected a class made by record(), found {cls!r}")
    return form


@overload
def record(cls: type[T], /) -> type[T]: ...
@overload
def record(*, name: str | None = None) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(kw_only_default=True, eq_default=False)
def record(cls: Any = None, /, *, name: str | None = None) -> Any:
    """Make a class whose objects are structs in a store, at fixed addresses.

    The class's annotations are the fields, in order, laid out as C does: ``i8`` … ``i64``, ``u8`` …
    ``u64``, ``f32``, ``f64``, ``bool_``, arrays of these (``f32[8]``), ``str_``, ``bytes_``, and
    pointers: ``Ptr["Node"]`` to records of that type, ``Ptr`` to any. A value that is assigned in
    the class is the field's default, else it is zero, empty or None. Methods are as ever.

    Objects are made by `Store.new` alone. Each assignment to an attribute is one atomic operation.

    Parameters
    ----------
    cls : type
        The class. A new one takes its place, which derives from `Record`.
    name : str, optional
        What the type is called in stores; the class's name when left out.

    Returns
    -------
    type

    Raises
    ------
    TypeError
        An annotation is no type of a field, or a default does not fit it.

    Complexity
    ----------
    An attribute is a load or a store in a hold; strings and arrays are copied.

    Durability
    ----------
    That of any operation. A number outside of transactions is stored without a log.

    Examples
    --------
    >>> @sj.record
    ... class Node:
    ...     key: sj.i64
    ...     name: sj.str_ = "?"
    ...     left: sj.Ptr["Node"]
    >>> with sj.open("demo") as store:
    ...     node = store.new(Node, key=1)
    ...     node.left = store.new(Node, key=2, name="b")
    ...     node.key += 10
    ...     node.key, node.name, node.left.name, node.left.left
    (11, '?', 'b', None)
    """
    if cls is None:
        return lambda decorated: _make_class(
            decorated, name or decorated.__name__, sys._getframe(1)
        )
    return _make_class(cls, name or cls.__name__, sys._getframe(1))


def address_of(record: Any) -> int:
    """Return the address of a record's first field, for C programs and debuggers.

    It is good while the record is there, and its memory while the thread has a hold on the store.

    Raises
    ------
    TypeError
        It is no record.
    """
    if not isinstance(record, RecordCore):
        raise TypeError(f"expected a record, found {type(record).__name__}")
    return record_address(record)


# ---- making a class


def _make_class(cls: type, name: str, frame: Any) -> type:
    if any("__record__" in base.__dict__ for base in cls.__mro__):
        raise TypeError(f"{cls.__name__}: a record's class cannot be derived from")
    types = _types_of(cls, frame)
    defaults = {field: cls.__dict__[field] for field in types if field in cls.__dict__}
    kept = {
        key: value
        for key, value in cls.__dict__.items()
        if key not in ("__dict__", "__weakref__", "__slots__", *types)
    }
    bases = cls.__bases__ if issubclass(cls, Record) else (Record, *_without_object(cls))
    made = type(cls)(cls.__name__, bases, {**kept, "__slots__": ()})
    _mend_super(kept, cls, made)
    _fill(made, name, types, defaults, False)
    return made


def _without_object(cls: type) -> tuple[type, ...]:
    return tuple(base for base in cls.__bases__ if base is not object)


def _fill(
    cls: Any, name: str, types: Mapping[str, FieldType], defaults: Mapping[str, Any], here: bool
) -> None:
    """Give a class its fields and its form."""
    at, fields, alignment = 0, [], 1
    for number, (field, of) in enumerate(types.items()):
        at = -(-at // of.size) * of.size
        fields.append(
            Field(
                field,
                of,
                of.code,
                of.count,
                of.is_array,
                of.target,
                defaults.get(field),
                at,
                of.size,
                number,
            )
        )
        at += of.size * of.count
        alignment = max(alignment, of.size)
    size = -(-at // alignment) * alignment
    cls.__record__ = Form(cls, name, fields, _schema(name, types, fields, size), size, here)
    for made in fields:
        setattr(cls, made.name, made)


def _mend_super(kept: Mapping[str, Any], old: type, new: type) -> None:
    """Methods that say super() or __class__ mean the class that has taken the place."""
    for value in kept.values():
        for part in (value, *(getattr(value, name, None) for name in ("fget", "fset", "__func__"))):
            for cell in getattr(part, "__closure__", None) or ():
                try:
                    if cell.cell_contents is old:
                        cell.cell_contents = new
                except ValueError:  # it is empty
                    continue


def _types_of(cls: type, frame: Any) -> dict[str, FieldType]:
    names = _Names(
        vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {},
        {**frame.f_locals, cls.__name__: cls.__name__},
    )
    found: dict[str, FieldType] = {}
    for name, of in _annotations(cls).items():
        of = getattr(of, "__forward_arg__", of)
        if isinstance(of, str):
            try:
                of = eval(of, {"__builtins__": {}}, names)
            except Exception as error:
                raise TypeError(
                    f"{cls.__name__}.{name}: {of!r} is no type of a field: {error}"
                ) from error
        if not isinstance(of, FieldType):
            raise TypeError(
                f"{cls.__name__}.{name}: expected a type of a field, such as spacejmp.i64, "
                f"found {of!r}"
            )
        found[name] = of
    if not found:
        raise TypeError(f"{cls.__name__}: a record has at least one field: name: spacejmp.i64")
    return found


def _annotations(cls: type) -> dict[str, Any]:
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    import inspect  # takes as long to import as all else here

    return inspect.get_annotations(cls)


class _Names(dict[str, Any]):
    """What names in an annotation mean; one that means nothing yet is a class to come."""

    def __init__(self, module: Mapping[str, Any], inner: Mapping[str, Any]) -> None:
        super().__init__(module)
        self.update(inner)

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, name)


# ---- schemas (record_layout.h)

_HEAD = struct.Struct("<HHHHQII")
_FIELD = struct.Struct("<IIIBBBB")
_RECORD_TYPE = 19


def _schema(name: str, types: Mapping[str, FieldType], fields: Sequence[Field], size: int) -> bytes:
    """What a store says of the type."""
    text, packed = name.encode(), b""
    if not 0 < len(text) < 256:
        raise TypeError(f"{name!r}: expected a name of 1 to 255 bytes for a type")
    for field, of in zip(fields, types.values(), strict=True):
        raw, target = field.name.encode(), of.target.encode()
        if len(raw) > 255:
            raise TypeError(f"{name}.{field.name}: a field's name has at most 255 bytes")
        packed += _FIELD.pack(
            field.offset, of.count, len(text), of.code, of.is_array, len(raw), len(target)
        )
        text += raw + target
    if len(fields) > 1024:
        raise TypeError(f"{name}: expected at most 1024 fields, found {len(fields)}")
    return (
        _HEAD.pack(_RECORD_TYPE, 1, len(fields), len(name.encode()), 0, size, len(text))
        + packed
        + text
    )


def _class_of_schema(schema: bytes) -> Form:
    """A class for a type that no class of this process is for."""
    _, _, count, name_bytes, *_ = _HEAD.unpack_from(schema)
    text = schema[_HEAD.size + count * _FIELD.size :]
    name, types = text[:name_bytes].decode("utf-8", "replace"), {}
    for number in range(count):
        packed = _FIELD.unpack_from(schema, _HEAD.size + number * _FIELD.size)
        _, length, at, code, is_array, raw, target = packed
        field = text[at : at + raw].decode("utf-8", "replace")
        to = text[at + raw : at + raw + target].decode("utf-8", "replace")
        types[field] = FieldType(code, length, bool(is_array), to)
    cls: Any = type(name, (Record,), {"__slots__": (), "__module__": "spacejmp"})
    _fill(cls, name, types, {}, True)
    form: Form = cls.__record__
    return form


def _reopen_record(store: Store, cls: type | None, head: int, serial: int) -> Any:
    """What a pickled record becomes."""
    from spacejmp.structures.recording import reopen

    return reopen(store, cls, head, serial)
