SELECT * FROM alert WHERE state <> 'ok';
