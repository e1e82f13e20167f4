-- First statement of every step: no row when a newer process has taken over.
UPDATE owner SET stream_time = greatest(stream_time, $2) WHERE fence = $1 RETURNING fence;
