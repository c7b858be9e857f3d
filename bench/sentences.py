"""Fifty sentences as a voice agent says them."""

SENTENCES = """
The shop opens at nine in the morning.
We close early on Sundays, but you can always leave a message.
A tune-up costs sixty five dollars and takes one day.
Please bring your bicycle before noon.
Could you tell me your name, please?
I am sorry, I did not catch that.
Our mechanic will call you back this afternoon.
The repair is ready, and you can pick it up tomorrow.
Yes, we sell children's helmets in three sizes.
How many gears does your bike have?
It will rain later today, so take a coat with you.
Thank you for waiting; your order has been sent.
The nearest station is about two miles away.
You can pay by card, in cash, or with your phone.
There is a small fee for express delivery.
Let me look that up for you.
One moment, I am checking.
The chain was worn, so we replaced it.
Our office is on the second floor, next to the library.
Would you like to speak with a person?
Your appointment is on Tuesday at half past ten.
I have found three flights that leave before noon.
The doctor will see you in about twenty minutes.
Please keep your ticket until the end of the journey.
We could not find an account with that number.
Is there anything else that I can help you with?
The table is booked for four people at eight o'clock.
Your package was handed to a neighbour yesterday.
The meeting has been moved to the large room downstairs.
To cancel, say stop at any time.
I will send you a message with the address.
The museum is closed on Mondays and on public holidays.
Breakfast is served from seven until ten.
Your password must have at least twelve characters.
The train to the airport leaves every fifteen minutes.
We are open again on the second of January.
Please hold the line while I connect you.
The warranty covers the frame, but not the tyres.
A technician can visit you on Thursday or Friday.
That will be thirty two dollars, including tax.
My colleague in the kitchen will answer that.
The lake is warm enough for swimming in August.
You have two new messages and one missed call.
The battery lasts for about six hours.
Turn left after the bridge, then follow the river.
All our rooms have a view of the garden.
I did not understand the last part of your question.
The concert begins at seven, and the doors open at six.
Your refund will arrive within five working days.
Have a nice day, and goodbye.
""".strip().splitlines()
