SELECT data_us FROM version WHERE model = $1 AND number = $2
