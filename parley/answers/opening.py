"""The first step of /chat and /rag: metadata that is to stand in front of a stream's first chunk.

The request gives it in the field `first_chunk`, its agent's profile under the same name, tools while they run. The
turn writes it, because the first chunk may be anybody's: the upstream's, a waiting message, a filler, FALLBACK_TEXT.
"""

from parley.answers.cleanup import Stream
from parley.services import Services
from parley.turn import Batches, TurnContext
from parley.wire.first_chunk import FirstChunkMetadata


def with_metadata(answer: Stream) -> Stream:
    """Return the answer with an envelope that takes metadata, where anybody may give some."""

    def stream(context: TurnContext, services: Services) -> Batches:
        options, given = context.chat.options, context.chat.first_chunk
        if options.takes_metadata and (given or options.first_chunk or services.toolbox is not None):
            context.envelope.first_chunk = FirstChunkMetadata(options.first_chunk, given)
        return answer(context, services)

    return stream
