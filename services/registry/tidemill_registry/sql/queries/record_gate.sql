-- Store a gate's result once. No row comes back when there was one.
-- $1 model  $2 digest  $3 gate  $4 verdict  $5 value  $6 low  $7 high  $8 threshold  $9 reason  $10 evidence
-- $11 subject  $12 author  $13 details
WITH made AS (
    INSERT INTO gate_result
        (model, digest, gate, verdict, value, ci_low, ci_high, threshold, reason, evidence)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT DO NOTHING
    RETURNING gate
), audited AS (
    INSERT INTO audit_entry (action, subject, author, details)
    SELECT 'gate.recorded', $11, $12, $13 FROM made
)
SELECT gate FROM made
