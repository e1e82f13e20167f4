-- Become the one writer; gives the fence and the stream time so far.
UPDATE owner SET fence = fence + 1 RETURNING fence, stream_time;
