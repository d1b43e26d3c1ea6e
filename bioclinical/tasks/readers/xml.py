"""XML files as their releases hold them, read without entities, and with the place of what is broken."""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from bioclinical.errors import UserError


def read_xml(path: Path) -> Element:
    """The root of a file. Raises UserError naming file and line where it is not well-formed, or declares entities."""
    return parse_xml(path, path.read_bytes())


def parse_xml(path: Path, content: bytes | str) -> Element:
    """The root of `content`, which came from `path`; raises as read_xml."""
    try:
        return fromstring(content, forbid_dtd=False)
    except DefusedXmlException as error:
        raise UserError(f"'{path}': it declares XML entities, which are not read; remove its <!DOCTYPE>") from error
    except (ParseError, ValueError) as error:
        line = getattr(error, "position", (1, 0))[0]
        raise UserError(f"'{path}' line {line}: not well-formed XML; repair the file or unpack it again") from error


def attribute(element: Element, name: str, path: Path) -> str:
    """An attribute's value; raises UserError where the element lacks it."""
    value = element.get(name)
    if value is None:
        raise UserError(f"'{path}': an element <{element.tag}> lacks the attribute '{name}'")
    return value
