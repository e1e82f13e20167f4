-- Results of some digests. $1 model  $2 digests
SELECT digest, gate, verdict, value, ci_low, ci_high, threshold, reason, evidence, recorded_at
FROM gate_result
WHERE model = $1 AND digest = ANY ($2::text[])
ORDER BY recorded_at, gate
