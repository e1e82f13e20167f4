"""Apache Kafka as services use it: produce, transact, consume, follow, administer.

The only package that imports aiokafka (faust's own use aside), so that the client can be replaced.
"""

from tidemill_common.kafka import dead_letters
from tidemill_common.kafka.admin import Admin, administering
from tidemill_common.kafka.broker import Broker, Record, Sent, TopicPartition
from tidemill_common.kafka.consumer import TooManyDeadLetters, consume
from tidemill_common.kafka.follower import Follower, following
from tidemill_common.kafka.producer import Producer, producing
from tidemill_common.kafka.transactions import Transaction, TransactionalProducer, transactional

__all__ = [
    "Admin",
    "Broker",
    "Follower",
    "Producer",
    "Record",
    "Sent",
    "TooManyDeadLetters",
    "TopicPartition",
    "Transaction",
    "TransactionalProducer",
    "administering",
    "consume",
    "dead_letters",
    "following",
    "producing",
    "transactional",
]
