<%!
    import re
    import textwrap

    def docstring(message):
        plain = message.replace("\\", "\\\\").replace('"', "'")
        return "\n".join(textwrap.wrap(plain, 85))
%>\
<% code = (upgrades or "") + (downgrades or "") %>\
"""${message | docstring}

Revision: ${up_revision}, after ${down_revision | comma,n}
"""

% if re.search(r"\bsa\.", code):
import sqlalchemy as sa
% endif
% if re.search(r"\bop\.", code):
from alembic import op
% endif
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
