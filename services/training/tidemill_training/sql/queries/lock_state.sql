-- What a policy remembers, locked until the end of the transaction; made when it is new.
INSERT INTO policy_state (model, state) VALUES ($1, '{}')
ON CONFLICT (model) DO UPDATE SET model = EXCLUDED.model
RETURNING state
